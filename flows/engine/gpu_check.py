"""What is to be said about this machine's GPUs before a run: not usable, too little memory, no bfloat16."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.engine.gpu_estimate import GIB, needed_bytes, prior_sizes
from flows.engine.gpus import gpu_numbers
from flows.engine.method import Method
from flows.engine.nvml import BFLOAT16_SINCE, Gpu, Machine, torch_cuda, why_not_usable
from prior3d.errors import Prior3dError

MARGIN = 1.25  # an estimate may be a quarter too high
WAYS = (  # what takes less memory: parameter, and how it is turned
    ("precision", "take --precision float16"),
    ("sds.views_at_once", "set {stage}.sds.views_at_once=1"),
    ("views.per_step", "lower {stage}.views.per_step"),
    ("sds.image_size", "lower {stage}.sds.image_size"),
    ("n_samples", "lower {stage}.n_samples"),
)


def needs(method: Method, params: Mapping[str, Mapping[str, Any]], folders: Mapping[str, Path]) -> dict[str, int]:
    """Stage -> bytes of GPU memory that it will need; stages of which that is not known are left out.

    Args:
        method: whose stages run.
        params: by stage.
        folders: by the name of the method's input that names a prior.
    """
    found: dict[str, int] = {}
    for stage in method.stages:
        folder = folders.get(stage.inputs.get("prior", ""))
        if stage.gpu and folder is not None:
            needed = needed_bytes(stage.name, params.get(stage.name, {}), prior_sizes(folder))
            found |= {stage.name: needed} if needed else {}
    return found


def unusable(device: str, machine: Machine | None) -> str:
    """Why a run would not get the GPU that is there, for a person; empty if all is well or nothing is known."""
    if machine is None or not machine.gpus or device.partition(":")[0] not in ("auto", "cuda") or not gpu_numbers():
        return ""
    return why_not_usable(machine, torch_cuda())


def about_gpus(
    device: str, machine: Machine | None, needed: Mapping[str, int], params: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Warnings about what this run will find on the GPU.

    Raises:
        Prior3dError: a stage needs far more memory than any GPU here has.
    """
    gpus = _candidates(device, machine)
    if not gpus:
        return []
    told = []
    largest, freest = max(gpus, key=lambda gpu: gpu.total), max(gpus, key=lambda gpu: gpu.free)
    for stage, size in sorted(needed.items(), key=lambda pair: -pair[1]):
        change = f"{ways(stage, params[stage])}; or take --device cpu"
        if size > MARGIN * largest.total:
            raise Prior3dError(
                f"stage {stage} will need about {size / GIB:.1f} GiB of GPU memory, the {largest.name} has "
                f"{largest.total / GIB:.1f}; {change}"
            )
        if size > freest.free:
            told.append(
                f"stage {stage} will need about {size / GIB:.1f} GiB of GPU memory, {freest.free / GIB:.1f} are free "
                f"now on the {freest.name}; end what uses it, or {change}"
            )
            break
    asked = [stage for stage, values in params.items() if values.get("precision") == "bfloat16"]
    old = next((gpu for gpu in gpus if gpu.capability < BFLOAT16_SINCE), None)
    if asked and old is not None:
        told.append(
            f"the {old.name} has no arithmetic for bfloat16; PyTorch computes {asked[0]} through float32 there, "
            "slowly; take --precision float16"
        )
    return told


def ways(stage: str, params: Mapping[str, Any]) -> str:
    """What takes less memory, of what this stage can be told."""
    found = []
    for path, way in WAYS:
        value: Any = params
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        turned = {"precision": value == "float32", "sds.views_at_once": value == 0}.get(path)
        if turned if turned is not None else isinstance(value, int) and value > 1:
            found.append(way.format(stage=stage))
    return ", ".join(found) or "free memory on it"


def _candidates(device: str, machine: Machine | None) -> list[Gpu]:
    """The GPUs that a run may get."""
    kind, _, index = device.partition(":")
    if machine is None or kind not in ("auto", "cuda"):
        return []
    numbers = gpu_numbers()
    if index:
        numbers = numbers[int(index) : int(index) + 1]
    return [gpu for gpu in machine.gpus if gpu.number in numbers]
