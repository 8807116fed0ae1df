"""The one training loop: optimise modules against a sum of losses, and go on after a kill as if nothing had happened.

Everything that the next step depends on is in the checkpoint: parameters, buffers, the optimiser's moments, every named
generator, the step. On the CPU a run that was killed and resumed is therefore bit-identical to one that was not.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from prior3d import checkpoints
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.optimisation import OptimiserSettings

LOWER = "lower the learning rate or the guidance scale"
STEPS_BETWEEN_LOOKS = 10  # at losses and gradients on a GPU, which stops to answer; on a CPU every step is looked at
SECONDS_BETWEEN_LOOKS = 0.25  # at most, where steps take long
Losses = Callable[[int], dict[str, Float[Tensor, ""]]]  # the weighted terms of a step, by name


@runtime_checkable
class Monitor(Protocol):
    """What the loop reports to and asks; a stage's Job is one."""

    @property
    def stopping(self) -> bool:
        """Whether the loop was asked to save and leave."""

    def checkpoint_due(self) -> bool:
        """Whether it is time to save."""

    def progress(self, step: int, total: int, *, loss: float | None = None) -> None:
        """Take notice of a finished step."""


def optimise(
    losses: Losses,
    *,
    modules: dict[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    n_steps: int,
    seeds: Seeds,
    checkpoint: Path,
    monitor: Monitor,
    learning_rate_factor: Callable[[float], float] = lambda progress: 1.0,
    advice: str = LOWER,
) -> bool:
    """Take `n_steps` optimiser steps down the sum of `losses(step)`, beginning at the checkpoint if there is one.

    Args:
        losses: called with 0 .. n_steps - 1; weighted scalars by name. All its randomness must come from `seeds`.
        modules: all that changes (also buffers that `losses` edits), by the name it is saved under.
        optimiser: over parameters of the modules; its groups' learning rates are the ones at factor 1.
        n_steps: in all, those before a kill included.
        seeds: the generators that `losses` draws from.
        checkpoint: where it is kept; of the same parameters and inputs (its folder is named by their digest).
        monitor: told about every step, asked when to save and whether to stop.
        learning_rate_factor: of the fraction done, 0 to 1.
        advice: which parameters of the stage to turn when a value is not finite.

    Returns:
        Whether all steps are done, and not only a checkpoint saved. Raises Prior3dError where something is not finite.
    """
    base_rates, unread = [group["lr"] for group in optimiser.param_groups], _Unread(modules, n_steps, advice)
    for step in range(restore_checkpoint(checkpoint, modules, optimiser, seeds), n_steps):
        _set_rates(optimiser, base_rates, learning_rate_factor(step / n_steps))
        looks = unread.looks_at(step) or monitor.stopping
        _take_step(losses, modules, optimiser, seeds, step, unread, looks)
        if looks and _told(monitor, unread):
            _check_values(modules, step, advice)
            save_checkpoint(checkpoint, modules, optimiser, seeds, step + 1)
            if monitor.stopping:
                return False
    _check_values(modules, n_steps - 1, advice)
    return True


def _told(monitor: Monitor, unread: "_Unread") -> bool:
    """Tell the monitor of the steps since the last look; whether it is time to save."""
    for taken, loss in unread.read():
        monitor.progress(taken + 1, unread.n_steps, loss=loss)
    return monitor.stopping or monitor.checkpoint_due()


def _set_rates(optimiser: torch.optim.Optimizer, base_rates: list[float], factor: float) -> None:
    """Learning rates of the optimiser's groups."""
    for group, rate in zip(optimiser.param_groups, base_rates, strict=True):
        group["lr"] = rate * factor


class _Unread:
    """Losses of steps that were not looked at yet. A GPU is asked for several at once, because it stops to answer."""

    def __init__(self, modules: dict[str, nn.Module], n_steps: int, advice: str) -> None:
        parameters = [p for module in modules.values() for p in module.parameters()]
        self.modules, self.n_steps, self.advice = modules, n_steps, advice
        self.each_step = not parameters or parameters[0].device.type == "cpu"
        self._steps: list[tuple[int, list[str], Tensor]] = []
        self._last_look = time.monotonic()

    def looks_at(self, step: int) -> bool:
        """Whether this step is looked at, and those before it: all on a CPU; a look changes no result."""
        late = time.monotonic() - self._last_look >= SECONDS_BETWEEN_LOOKS
        return self.each_step or late or step % STEPS_BETWEEN_LOOKS == 0 or step + 1 == self.n_steps

    def add(self, step: int, terms: dict[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """Keep a step's terms, and return their sum."""
        values = torch.stack(list(terms.values()))
        self._steps.append((step, list(terms), values.detach()))
        return values.sum()

    def read(self) -> list[tuple[int, float]]:
        """Steps and their losses since the last look (raises Prior3dError where one is not finite)."""
        steps, self._steps, self._last_look = self._steps, [], time.monotonic()
        sums = torch.stack([values.sum() for _, _, values in steps]).tolist() if steps else []
        for (step, names, values), total in zip(steps, sums, strict=True):
            if not math.isfinite(total):
                _fail(dict(zip(names, values.tolist(), strict=True)), self.modules, step, self.advice)
        return [(step, total) for (step, _, _), total in zip(steps, sums, strict=True)]


def _take_step(
    losses: Losses,
    modules: dict[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    seeds: Seeds,
    step: int,
    unread: _Unread,
    looks: bool,
) -> None:
    """One step down the sum of the losses, which are kept unread; with a look, a gradient that is broken is no step."""
    optimiser.zero_grad(set_to_none=True)
    before = seeds.state()
    total = unread.add(step, losses(step))
    if unread.each_step and not math.isfinite(total.item()):
        unread.read()
    total.backward()
    if looks:
        broken = _not_finite(modules, gradients=True)
        if broken:
            unread.read()  # a loss that broke in an earlier step is the cause, and is told
            seeds.restore(before)
            _fail_gradient(losses(step), modules, broken, step, unread.advice)
    optimiser.step()


def adam(groups: list[dict[str, Any]], settings: OptimiserSettings, *, fused: bool = False) -> torch.optim.Adam:
    """Adam over parameter groups, each with its learning rate in `lr`; fused is faster for large tables."""
    optimiser = torch.optim.Adam(groups, betas=settings.betas, eps=settings.epsilon, fused=fused or None)
    if settings.max_gradient_norm > 0:
        optimiser.register_step_pre_hook(lambda taken, *_: _clip_gradient(taken, settings.max_gradient_norm))
    return optimiser


def _clip_gradient(optimiser: torch.optim.Optimizer, length: float) -> None:
    """Scale the gradient of all parameters down to a length, if it is longer."""
    nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], length)


def decay(settings: OptimiserSettings) -> Callable[[float], float]:
    """The learning rate's factor as a function of the fraction of steps done."""
    return lambda progress: late_decay(progress, settings.decay_from, settings.decay_to)


def late_decay(progress: float, begin: float, final: float) -> float:
    """A learning rate's factor: 1 until `begin`, then falling exponentially to `final` at progress 1."""
    return 1.0 if progress <= begin else final ** ((progress - begin) / (1 - begin))


def save_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer, seeds: Seeds, n_steps_done: int
) -> None:
    """Write a checkpoint, atomically; a module's `config` goes with it, so that others can build the module anew."""
    tensors = {f"module/{name}/{key}": value for name, m in modules.items() for key, value in m.state_dict().items()}
    tensors |= optimiser_tensors(optimiser)
    tensors |= {f"generator/{key}": value for key, value in seeds.state().items()}
    configs: dict[str, Any] = {name: getattr(module, "config", None) for name, module in modules.items()}
    described = {n: asdict(c) for n, c in configs.items() if is_dataclass(c) and not isinstance(c, type)}
    checkpoints.save(path, tensors, {"n_steps_done": n_steps_done, "configs": described})


def restore_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer, seeds: Seeds
) -> int:
    """Put everything back as it was saved, and return how many steps were done; 0 if there is no checkpoint."""
    loaded = checkpoints.load(path)
    if loaded is None:
        return 0
    tensors, state = loaded
    try:
        for name, module in modules.items():
            module.load_state_dict(under(tensors, f"module/{name}/"))
        load_optimiser_tensors(optimiser, tensors)
        seeds.restore(under(tensors, "generator/"))
        return int(state["n_steps_done"])
    except (RuntimeError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise Prior3dError(
            f"{path}: the checkpoint is of another model ({reason}). Delete it to begin the stage again."
        ) from error


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Shaped[Tensor, "..."]]:
    """An optimiser's moments under the names that a checkpoint has for them."""
    return {
        f"optimiser/{index}/{key}": torch.as_tensor(value)
        for index, entry in optimiser.state_dict()["state"].items()
        for key, value in entry.items()
    }


def load_optimiser_tensors(optimiser: torch.optim.Optimizer, tensors: dict[str, Shaped[Tensor, "..."]]) -> None:
    """Put the moments in a checkpoint's tensors back; learning rates stay as they are.

    Raises:
        ValueError: they are of other parameters.
    """
    moments: dict[int, dict[str, Any]] = {}
    for key, value in under(tensors, "optimiser/").items():
        index, _, entry = key.partition("/")
        moments.setdefault(int(index), {})[entry] = value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})


def under(tensors: dict[str, Shaped[Tensor, "..."]], prefix: str) -> dict[str, Shaped[Tensor, "..."]]:
    """The entries whose names begin with prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _not_finite(modules: dict[str, nn.Module], gradients: bool = False) -> list[str]:
    """Names of the parameters in which a value, or a gradient, is not finite."""
    parameters = {f"{name}.{key}": p for name, m in modules.items() for key, p in m.named_parameters()}
    tensors = {name: p.grad if gradients else p.detach() for name, p in parameters.items() if p.requires_grad}
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    if not given:
        return []
    largest = [torch.linalg.vector_norm(tensor, torch.inf) for tensor in given.values()]
    if bool(torch.stack(largest).isfinite().all()):
        return []
    return [name for name, tensor in given.items() if not bool(tensor.isfinite().all())]


def _check_values(modules: dict[str, nn.Module], step: int, advice: str) -> None:
    """Hold that every parameter is finite (raises Prior3dError)."""
    broken = _not_finite(modules)
    if broken:
        raise Prior3dError(
            f"optimisation: after step {step} {_listed(broken)} holds values that are not finite; {advice}"
        )


def _fail(terms: dict[str, float], modules: dict[str, nn.Module], step: int, advice: str) -> None:
    """Say which loss broke, and whether what is optimised is broken too."""
    broken = [f"{name} = {value}" for name, value in terms.items() if not math.isfinite(value)]
    found = ", ".join(broken) or "a sum of finite losses that overflows"
    before = _not_finite(modules)
    since = f", and {_listed(before)} is not finite either" if before else ""
    raise Prior3dError(f"optimisation: at step {step} {found}{since}; {advice}")


def _fail_gradient(
    terms: dict[str, Float[Tensor, ""]], modules: dict[str, nn.Module], broken: list[str], step: int, advice: str
) -> None:
    """Say of which loss the gradient broke, and where: the step's terms once more, each by itself."""
    parameters = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
    guilty = []
    for name, value in terms.items():
        if value.requires_grad:
            found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
            guilty += [name] if any(g is not None and not bool(g.isfinite().all()) for g in found) else []
    whose = f"the gradient of {' and '.join(guilty)}" if guilty else f"the sum of the gradients of {', '.join(terms)}"
    raise Prior3dError(
        f"optimisation: at step {step} {whose} for {_listed(broken)} is not finite, though every loss is; {advice}"
    )


def _listed(names: list[str]) -> str:
    """One name, and how many more."""
    return names[0] + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")
