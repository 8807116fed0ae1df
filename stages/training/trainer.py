"""The training loop that all networks share: AdamW, a schedule, a moving average, checkpoints, progress."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from prior3d import checkpoints
from prior3d.errors import Prior3dError
from prior3d.optimisation import load_optimiser_tensors, optimiser_tensors, under
from prior3d.settings.optimisation import TrainingSettings
from stages.contract.job import Job, Stopped
from stages.contract.saving import save_checkpoint
from stages.training.parameters import Precision, TrainingParams

STEPS_BETWEEN_CHECKS = 10  # of losses and gradients on a GPU, which waits to answer
STEPS_BETWEEN_REPORTS = 20
WINDOW = 200  # losses in a running mean


class Trainer:
    """AdamW with a schedule, an exponential moving average, and checkpoints that a kill at any instant leaves whole.

    The training ends with its last step or, where `minutes` are given, with the clock, whichever comes first; the steps
    of sittings that were stopped count. A checkpoint goes on on any device; to the same bits on the CPU it came from.

    Attributes:
        generator: on the models' device, so that a batch can be drawn where it is needed.
        step: the current one; -1 before the first.
        first: the first step of this sitting.
        progress: fraction of the training that is over.
        samples_before: on which the weights of a warm start were trained.
    """

    def __init__(
        self,
        job: Job,
        models: dict[str, nn.Module],
        params: TrainingParams,
        *,
        samples_before: int = 0,
        writes: bool = True,
    ):
        """Take models, and go on at the job's checkpoint if there is one.

        `writes` is False in all workers but one: they read the same checkpoint.

        Raises:
            Prior3dError: the checkpoint is damaged, of another model, or in the format of an earlier version.
        """
        self.job, self.models, self.params = job, models, params
        self.writes, self.samples_before = writes, samples_before
        settings = params.optimiser
        self.average = {name: EMAModel(m.parameters(), settings.ema_decay, foreach=True) for name, m in models.items()}
        self._averaged = {name: copy.deepcopy(model).requires_grad_(False) for name, model in models.items()}
        parameters = [p for model in models.values() for p in model.parameters()]
        self.device = parameters[0].device
        self.optimiser = torch.optim.AdamW(
            parameters,
            lr=params.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=self.device.type == "cuda",
        )
        self.generator = torch.Generator(self.device).manual_seed(params.seed)
        self.first, self.step, self.spent_s, self.progress = 0, -1, 0.0, 0.0
        self.finite = torch.ones((), dtype=torch.bool, device=self.device)
        self.path = job.work / "checkpoint.safetensors"
        self._resume()

    def steps(self) -> Iterator[int]:
        """The steps still to do; a checkpoint is written now and then, and after the last.

        Raises:
            Stopped: the job was asked to stop; the checkpoint is written.
        """
        limit_s = math.inf if self.params.minutes is None else 60 * self.params.minutes
        started = time.monotonic() - self.spent_s
        for step in range(self.first, self.params.steps):
            self.spent_s = time.monotonic() - started
            self.progress = max(step / self.params.steps, self.spent_s / limit_s)
            if self.progress >= 1:
                break
            self.step = step
            for group in self.optimiser.param_groups:
                group["lr"] = self.params.learning_rate * learning_rate_factor(
                    step, self.progress, self.params.optimiser
                )
            yield step
            self.spent_s = time.monotonic() - started
            stopping = self._asked_to_stop()
            if self.writes and (self.job.checkpoint_due() or stopping):
                self.save()
            if stopping:
                raise Stopped
        if self.writes and self.done > self.first:
            self.save()

    @property
    def done(self) -> int:
        """Steps done, in all sittings of this training."""
        return self.step + 1

    def update(self, loss: Tensor) -> None:
        """One optimiser step on a loss.

        Raises:
            Prior3dError: a loss or its gradient was not finite; asked every 10 steps on a GPU, which waits to answer.
        """
        self.finite &= torch.isfinite(loss.detach())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        average_gradients(parameters)
        limit = self.params.optimiser.max_gradient_norm
        self.finite &= torch.isfinite(torch.nn.utils.clip_grad_norm_(parameters, limit))
        if self.device.type == "cpu" or self.step % STEPS_BETWEEN_CHECKS == 0:
            self._check()
        self.optimiser.step()
        for name, model in self.models.items():
            self.average[name].step(model.parameters())

    def averaged(self, name: str) -> Any:
        """A model with the moving average of the weights as it is now; the same object on every call."""
        model = self._averaged[name]
        self.average[name].copy_to(model.parameters())
        return model.eval()

    def save(self) -> None:
        """Write the checkpoint, atomically.

        Raises:
            Prior3dError: a loss since the last checkpoint was not finite, or the file cannot be written.
        """
        self._check()
        tensors = {f"model/{name}/{k}": v for name, m in self.models.items() for k, v in m.state_dict().items()}
        for name, average in self.average.items():
            tensors |= {f"average/{name}/{i}": value for i, value in enumerate(average.shadow_params)}
        tensors |= optimiser_tensors(self.optimiser) | {"generator": self.generator.get_state()}
        state = {
            "step": self.done,
            "spent_s": self.spent_s,
            "device": self.device.type,
            "samples_before": self.samples_before,
        }
        save_checkpoint(self.job, self.path, tensors, state)

    def _resume(self) -> None:
        old = self.job.work.parent / "checkpoint.pt"
        if old.exists():
            raise Prior3dError(
                f"{old}: a checkpoint of an earlier version, which this one cannot read. Finish that training with the "
                "version that began it, or delete the file to begin again."
            )
        loaded = checkpoints.load(self.path)
        if loaded is None:
            return
        tensors, state = loaded
        try:
            for name, model in self.models.items():
                model.load_state_dict(under(tensors, f"model/{name}/"))
                self._restore_average(name, under(tensors, f"average/{name}/"), state["step"])
            load_optimiser_tensors(self.optimiser, tensors)
        except (RuntimeError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise Prior3dError(f"{self.path}: of another model ({reason}). Delete it to begin again.") from error
        if state["device"] == self.device.type:
            self.generator.set_state(tensors["generator"])
        else:  # other devices draw other numbers, and know nothing of this state
            self.generator.manual_seed(self.generator.initial_seed() + state["step"])
        self.first, self.samples_before, self.spent_s = state["step"], state["samples_before"], state["spent_s"]
        self.step = self.first - 1

    def _restore_average(self, name: str, values: dict[str, Tensor], steps_done: int) -> None:
        average = self.average[name]
        average.shadow_params = [values[str(i)].to(self.device) for i in range(len(average.shadow_params))]
        average.optimization_step = steps_done

    def _asked_to_stop(self) -> bool:
        """Whether this process or a worker beside it was asked to stop: all leave after the same step."""
        if not dist.is_initialized():
            return self.job.stopping
        asked = torch.tensor(float(self.job.stopping))
        dist.all_reduce(asked, dist.ReduceOp.MAX)
        return bool(asked)

    def _check(self) -> None:
        if not self.finite:
            raise Prior3dError(
                f"{self.job.name}: a loss or its gradient is not finite by step {self.step}; lower "
                f"{self.job.name}.learning_rate"
            )


class Meter:
    """Reports a training's running mean loss and its pace, every 20 steps: reading a number makes a GPU wait."""

    def __init__(self, trainer: Trainer, unit: str):
        """Count `unit`, such as "samples"."""
        self.trainer, self.unit, self.samples, self.started = trainer, unit, 0, time.monotonic()
        self.mean = torch.zeros((), device=trainer.device)

    def take(self, loss: Tensor, n_samples: int, note: Callable[[], str] = str) -> None:
        """Take the loss of a step over `n_samples`; the note is asked for when it is time to report."""
        trainer = self.trainer
        self.samples += n_samples
        self.mean = running_mean(self.mean, loss, min(trainer.done - trainer.first, WINDOW))
        if trainer.writes and trainer.step % STEPS_BETWEEN_REPORTS == 0:
            rate = self.samples / max(time.monotonic() - self.started, 1e-9)
            text = ", ".join(filter(None, (f"{rate:.1f} {self.unit}/s", note())))
            trainer.job.progress(trainer.done, trainer.params.steps, loss=float(self.mean), text=text)


def prepare(seed: int, threads: int | None = None) -> None:
    """Set torch up for a training in this process; only new weights use the global generator."""
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)  # decayed moments become denormal numbers, which slow a CPU down


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Average the gradients over the workers, when there are several, in one message.

    By hand, because DistributedDataParallel wraps one network with one forward pass; here two networks share a loss.
    """
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def learning_rate_factor(step: int, progress: float, settings: TrainingSettings) -> float:
    """Warm-up, then the whole rate, then a cosine down to `settings.decay_to`.

    By hand, because the schedulers of torch and diffusers count steps, and a training may end by the clock.

    Args:
        step: of the training.
        progress: fraction of the training that is over.
        settings: of the optimiser.
    """
    warm_up = min(1.0, (step + 1) / settings.warm_up_steps)
    fall = max(0.0, (progress - settings.decay_from) / (1 - settings.decay_from))
    low = settings.decay_to
    return warm_up * (low + (1 - low) * (0.5 + 0.5 * math.cos(math.pi * fall)))


def running_mean(mean: Tensor, value: Tensor, n: int) -> Tensor:
    """The mean over the last n values or so; it stays on its device, as reading a number makes a GPU wait."""
    return mean + (value.detach() - mean) / n


def lower_precision(device: str, precision: Precision) -> AbstractContextManager[Any]:
    """Layers in bfloat16 where `precision` says so; weights, losses and what is sensitive stay in float32."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")
