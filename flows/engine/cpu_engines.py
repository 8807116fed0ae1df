"""What runs the frozen U-Nets, checked before a run: OpenVINO is an extra, and for CPUs."""

import importlib
from typing import Any

from flows.engine.gpus import gpu_numbers
from flows.engine.method import Method
from prior3d.errors import Prior3dError
from prior3d.settings import Precision


def openvino_precision() -> Precision:
    """bfloat16 where this processor has instructions for it, else float32.

    Raises:
        Prior3dError: OpenVINO is not installed.
    """
    return "bfloat16" if "bfloat16" in _known_precisions() else "float32"


def check_engines(method: Method, params: dict[str, dict[str, Any]], asked: str, device: str) -> None:
    """Refuse what an engine cannot do on this machine.

    Args:
        method: the stages of the run.
        params: their parameters.
        asked: `--engine`.
        device: auto, cpu, cuda, cuda:N or mps.

    Raises:
        Prior3dError: no stage has the choice, the run is not for the CPU, OpenVINO is not installed, or the processor
            has no instructions for a precision.
    """
    if asked != "torch" and not any("engine" in values for values in params.values()):
        raise Prior3dError(f"--engine {asked}: {method.name} has no stage that takes it; leave it out")
    stages = [name for name, values in params.items() if values.get("engine") == "openvino"]
    if not stages:
        return
    if device not in ("auto", "cpu") or (device == "auto" and gpu_numbers()):
        raise Prior3dError(
            f"{stages[0]}.engine: openvino runs U-Nets on the CPU, and --device {device} is a GPU here; take "
            "--device cpu, or --engine torch"
        )
    known = _known_precisions()
    for name in stages:
        if params[name]["precision"] not in known:
            raise Prior3dError(
                f"{name}.precision: this processor has no instructions for {params[name]['precision']}, which openvino "
                f"would need; take --precision {' or '.join(known)}"
            )


def _known_precisions() -> tuple[Precision, ...]:
    graphs = importlib.import_module("prior3d.diffusion.graphs")  # start-up: torch, and only for those who ask
    known: tuple[Precision, ...] = graphs.openvino_precisions()
    return known
