"""Weights of the priors on disk, as trainings read and write them."""

import copy
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from prior3d.errors import Prior3dError
from stages.training.facts import FACTS, samples_seen
from stages.training.trainer import Trainer


def load_weights(model: nn.Module, path: Path) -> None:
    """Take a model's weights, all of them, from a safetensors file in half precision.

    Raises:
        Prior3dError: the file is missing, or its tensors are not those of this model.
    """
    if not path.is_file():
        raise Prior3dError(f"{path}: there are no weights to begin with; set warm_start: false")
    try:
        model.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise Prior3dError(
            f"{path}: its weights do not fit ({reason}); set the parameters that it was trained with, or warm_start: "
            "false"
        ) from error


def save_averaged(trainer: Trainer, name: str, folder: Path) -> None:
    """Write the moving average of a network's weights in half precision, as diffusers and transformers lay it out."""
    copy.deepcopy(trainer.averaged(name)).half().save_pretrained(folder)


def samples_before(folder: Path, warm_start: bool) -> int:
    """How many samples the weights on disk were trained on, if they are what a training begins with."""
    return samples_seen(folder) if warm_start else 0


def write_facts(folder: Path, trainer: Trainer, samples: int, **more: Any) -> None:
    """Write `training.json`: steps, samples and parameters of this sitting, and samples of the ones before."""
    params = trainer.params.model_dump(mode="json") | {"device": str(trainer.device)}
    facts = {"steps": trainer.done, "samples": samples, "params": params}
    facts |= {"samples_before": trainer.samples_before} | more
    (folder / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def write_index(folder: Path, index: dict[str, Any]) -> None:
    """Write `model_index.json`, which names the pipeline and its parts."""
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
