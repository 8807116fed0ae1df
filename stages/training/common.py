"""What the training stages share: their parameters, progress lines and the rendered world as tensors."""

import copy
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
import torch.distributed as dist
import yaml
from pydantic import AfterValidator, BaseModel, Field
from safetensors.torch import load_file
from torch import Tensor, nn

from prior3d.devices import choose_device
from prior3d.toyworld.palette import PATTERNS

Model = TypeVar("Model", bound=BaseModel)
Precision = Literal["float32", "bfloat16"]
Device = Annotated[str, AfterValidator(lambda name: str(choose_device(name)))]  # auto, cpu, cuda, cuda:N or mps
PRECISION: Any = Field("float32", description="of the networks' layers; weights, geometry and losses stay in float32")
MINUTES: Any = Field(
    None,
    gt=0,
    allow_inf_nan=False,
    description="of steps, behind which the training ends if it has not; None: no limit",
)


def read_params(section: str, model: type[Model]) -> Model:
    """Read one section of `params.yaml` in the current folder; an absent section means the defaults."""
    path = Path("params.yaml")
    values: dict[str, Any] = yaml.safe_load(path.read_text()) if path.exists() else {}
    return model(**(values or {}).get(section, {}))


def report(**fields: Any) -> None:
    """Print one progress line, as every stage does."""
    sys.stdout.write("@@" + json.dumps(fields) + "\n")
    sys.stdout.flush()


class World:
    """The rendered world of one split, in memory (random reads of a mapped file fall back to the disk, and wait).

    Attributes:
        rgba: [n, size, size, 4] uint8, premultiplied.
        views: [n, 2] azimuth and elevation in degrees.
        captions: one an object; `caption(i)` is that of image i.
    """

    def __init__(self, folder: Path, split: str):
        self.rgba = np.load(folder / f"{split}.rgba.npy")
        self.views = np.load(folder / f"{split}.views.npy")
        self.captions: list[str] = json.loads((folder / f"{split}.captions.json").read_text())

    def __len__(self) -> int:
        return len(self.rgba)

    def caption(self, image: int) -> str:
        """The caption of image `image`."""
        return self.captions[image // (len(self.rgba) // len(self.captions))]

    @cached_property
    def patterned(self) -> Tensor:
        """[m] places of the images whose captions end in a pattern's name."""
        return torch.tensor([i for i in range(len(self)) if self.caption(i).endswith(PATTERNS)], dtype=torch.long)


class Edits:
    """The rendered edits of one split, in memory.

    Attributes:
        rgba: [n, size, size, 4] uint8, premultiplied; an image before an edit, then the same after it.
        views: [n, 2] azimuth and elevation in degrees.
        records: one an edit, with its kind, its instruction and the captions before and after.
    """

    def __init__(self, folder: Path, split: str):
        self.rgba = np.load(folder / f"{split}.rgba.npy")
        self.views = np.load(folder / f"{split}.views.npy")
        self.records: list[dict[str, str]] = json.loads((folder / f"{split}.edits.json").read_text())

    def __len__(self) -> int:
        return len(self.rgba)

    @property
    def n_pairs(self) -> int:
        """How many pairs there are; pair i is of images 2 i and 2 i + 1."""
        return len(self.rgba) // 2

    def record(self, pair: int) -> dict[str, str]:
        """What is said of a pair."""
        return self.records[pair // (self.n_pairs // len(self.records))]


def load_weights(model: nn.Module, path: Path) -> None:
    """Take a model's weights, all of them, from a safetensors file in half precision.

    Raises:
        RuntimeError: the file's tensors are not those of this model.
    """
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, strict=True)


def composite(rgba: Tensor, backgrounds: Tensor) -> Tensor:
    """Put premultiplied RGBA [n, h, w, 4] uint8 over constant colours [n, 3]: images [n, 3, h, w] in 0..1."""
    pixels = rgba.float() / 255
    image = pixels[..., :3] + (1 - pixels[..., 3:]) * backgrounds[:, None, None]
    return image.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


class Trainer:
    """AdamW with a schedule, an exponential moving average, and checkpoints that a kill at any instant leaves whole.

    The learning rate warms up over 100 steps, stays constant for 40 % of the training, then falls as a cosine to 1 %.
    The training ends with its last step or, where `minutes` are given, with the clock, whichever comes first; the steps
    of sittings that were stopped count. A checkpoint goes on on any device; to the same bits on the CPU it came from.

    Attributes:
        generator: on the models' device, so that a batch can be drawn where it is needed.
        step: that is being done; -1 before the first.
        first: step of this sitting.
        share: of the training that is over.
    """

    def __init__(
        self,
        folder: Path,
        models: dict[str, nn.Module],
        learning_rate: float,
        total: int,
        seed: int,
        decay: float = 0.999,
        seconds_between_checkpoints: float = 60.0,
        writes: bool = True,
        samples_before: int = 0,
        minutes: float | None = None,
    ):
        self.models, self.total, self.learning_rate, self.decay = models, total, learning_rate, decay
        self.average = {name: copy.deepcopy(model).requires_grad_(False) for name, model in models.items()}
        parameters = [p for model in models.values() for p in model.parameters()]
        self.device = parameters[0].device
        self.optimiser = torch.optim.AdamW(
            parameters, lr=learning_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=self.device.type == "cuda"
        )
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.writes, self.samples_before = writes, samples_before
        self.path, self.first, self.step = folder / "checkpoint.pt", 0, -1
        self.seconds, self.last = seconds_between_checkpoints, time.monotonic()
        self.limit, self.spent, self.share = math.inf if minutes is None else 60 * minutes, 0.0, 0.0
        self.finite = torch.ones((), dtype=torch.bool, device=self.device)
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._resume()

    def steps(self) -> Iterator[int]:
        """The steps still to do; a checkpoint is written every minute and behind the last."""
        started = time.monotonic() - self.spent
        for step in range(self.first, self.total):
            self.spent = time.monotonic() - started
            self.share = max(step / self.total, self.spent / self.limit)
            if self.share >= 1:
                break
            self.step = step
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate * schedule(step, self.share)
            yield step
            self.spent = time.monotonic() - started
            if self.writes and time.monotonic() - self.last > self.seconds:
                self.save()
        if self.writes and self.done > self.first:
            self.save()

    @property
    def done(self) -> int:
        """Steps done, in all sittings of this training."""
        return self.step + 1

    def update(self, loss: Tensor) -> None:
        """One optimiser step on a loss.

        Raises:
            FloatingPointError: a loss was not finite; asked every 50 steps on a GPU, which waits to answer.
        """
        self.finite &= torch.isfinite(loss.detach())
        if self.device.type == "cpu" or self.step % 50 == 0:
            self._check()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimiser.step()
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for name, model in self.models.items():
            averages: list[Tensor] = list(self.average[name].parameters())
            values: list[Tensor] = [value.detach() for value in model.parameters()]
            torch._foreach_lerp_(averages, values, 1 - decay)

    def averaged(self, name: str) -> Any:
        """The moving average of a model's weights, as a model."""
        return self.average[name].eval()

    def save(self) -> None:
        """Write the checkpoint: temporary file, fsync, rename.

        Raises:
            FloatingPointError: a loss since the last one was not finite.
        """
        self._check()
        self.last = time.monotonic()
        state = {
            "step": self.done,
            "spent": self.spent,
            "models": {name: model.state_dict() for name, model in self.models.items()},
            "average": {name: model.state_dict() for name, model in self.average.items()},
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "device": self.device.type,
            "samples_before": self.samples_before,
        }
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def _resume(self) -> None:
        state = torch.load(self.path, weights_only=True, map_location="cpu")
        for name, model in self.models.items():
            model.load_state_dict(state["models"][name])
            self.average[name].load_state_dict(state["average"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        if state.get("device", "cpu") == self.device.type:
            self.generator.set_state(state["generator"])
        else:  # other devices draw other numbers, and know nothing of this state
            self.generator.manual_seed(self.generator.initial_seed() + state["step"])
        self.first, self.samples_before = state["step"], state["samples_before"]
        self.spent = state.get("spent", 0.0)  # checkpoints of before trainings had a clock do not say
        self.step = self.first - 1

    def _check(self) -> None:
        if not self.finite:
            raise FloatingPointError(f"loss not finite by step {self.step}: lower the learning rate")


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Average the gradients over the workers, when there are several."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def schedule(step: int, share: float) -> float:
    """The learning rate's factor: warm-up over 100 steps, constant to 40 % of the training, then a cosine to 1 %.

    Args:
        step: of the training.
        share: of the training that is over, 0 .. 1.
    """
    warm = min(1.0, (step + 1) / 100)
    fall = max(0.0, (share - 0.4) / 0.6)
    return warm * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * fall)))


def running_mean(mean: Tensor, value: Tensor, n: int) -> Tensor:
    """The mean over the last n values or so; it stays on its device, as reading a number makes a GPU wait."""
    return mean + (value.detach() - mean) / n


def lower_precision(device: str, precision: Precision) -> AbstractContextManager[Any]:
    """Layers in bfloat16 where `precision` says so; weights, losses and what is sensitive stay in float32."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")
