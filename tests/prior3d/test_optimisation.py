"""The training loop: resumed runs are bit-identical, broken losses are named."""

import pytest
import torch
from torch import nn

from prior3d import checkpoints
from prior3d.errors import Prior3dError
from prior3d.optimisation import adam, late_decay, optimise
from prior3d.seeds import Seeds
from prior3d.settings.optimisation import OptimiserSettings


class Watcher:
    """A monitor that asks to save at given steps, and to stop at one."""

    def __init__(self, save_at=(), stop_at=None):
        self.save_at, self.stop_at, self.seen = save_at, stop_at, []

    @property
    def stopping(self):
        return bool(self.seen) and self.seen[-1] == self.stop_at

    def checkpoint_due(self):
        return self.seen[-1] in self.save_at

    def progress(self, step, total, *, loss=None):
        self.seen.append(step)


class Problem:
    """A small noisy regression whose loop also edits a buffer."""

    def __init__(self):
        self.seeds = Seeds(7)
        self.model = nn.Linear(3, 1)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=self.seeds.generator("start")))
        self.memory = nn.Module()
        self.memory.register_buffer("target", torch.zeros(1))
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=0.1, betas=(0.9, 0.99), eps=1e-15)

    def losses(self, step):
        inputs = torch.randn(5, 3, generator=self.seeds.generator("inputs"))
        self.memory.target += torch.rand(1, generator=self.seeds.generator("target"))
        return {"fit": ((self.model(inputs) - self.memory.target) ** 2).mean(), "size": self.model.weight.abs().sum()}

    def run(self, path, monitor, n_steps=20):
        modules = {"model": self.model, "memory": self.memory}
        return optimise(
            self.losses,
            modules=modules,
            optimiser=self.optimiser,
            n_steps=n_steps,
            seeds=self.seeds,
            checkpoint=path / "c.safetensors",
            monitor=monitor,
            learning_rate_factor=lambda progress: 1 - 0.5 * progress,
        )


def test_killed_and_resumed_is_bit_identical(tmp_path):
    whole = Problem()
    assert whole.run(tmp_path / "whole", Watcher())
    killed = Problem()

    class Killed(Exception):
        pass

    class Killer(Watcher):
        def progress(self, step, total, *, loss=None):
            super().progress(step, total)
            if step == 13:
                raise Killed

    with pytest.raises(Killed):
        killed.run(tmp_path, Killer(save_at=(5, 9)))
    resumed, watcher = Problem(), Watcher()
    assert resumed.run(tmp_path, watcher)
    assert watcher.seen == list(range(10, 21))
    assert torch.equal(resumed.model.weight, whole.model.weight) and torch.equal(resumed.model.bias, whole.model.bias)
    assert torch.equal(resumed.memory.target, whole.memory.target)


def test_stopping_saves_and_says_so(tmp_path):
    problem, watcher = Problem(), Watcher(stop_at=4)
    assert problem.run(tmp_path, watcher) is False
    again = Watcher()
    assert Problem().run(tmp_path, again)
    assert again.seen[0] == 5


def test_learning_rate_follows_the_factor(tmp_path):
    problem = Problem()
    problem.run(tmp_path, Watcher(), n_steps=10)
    assert problem.optimiser.param_groups[0]["lr"] == pytest.approx(0.1 * (1 - 0.5 * 0.9))


def test_a_loss_that_is_not_finite_is_named(tmp_path):
    problem = Problem()
    good = problem.losses
    problem.losses = lambda step: good(step) | ({"sds": torch.tensor(float("nan"))} if step == 3 else {})
    with pytest.raises(Prior3dError, match="at step 3 sds = nan; lower the learning rate"):
        problem.run(tmp_path, Watcher())


class RootAtZero(torch.autograd.Function):
    """A loss that is finite while its gradient is not, as a square root at zero."""

    @staticmethod
    def forward(ctx, weight):
        return weight.sum() * 0

    @staticmethod
    def backward(ctx, gradient):
        return torch.full((1, 3), float("inf"))


@pytest.mark.parametrize("step", [0, 3, 19])
def test_a_gradient_that_is_not_finite_is_named_and_the_last_checkpoint_is_good(tmp_path, step):
    problem = Problem()
    good = problem.losses
    problem.losses = lambda s: good(s) | ({"depth": RootAtZero.apply(problem.model.weight)} if s == step else {})
    said = f"at step {step} the gradient of depth for model.weight is not finite, though every loss is; lower the"
    with pytest.raises(Prior3dError, match=said):
        problem.run(tmp_path, Watcher(save_at=range(1, 21)))
    assert problem.model.weight.isfinite().all()
    again, watcher = Problem(), Watcher()
    assert again.run(tmp_path, watcher) and watcher.seen == list(range(step + 1, 21))


@pytest.mark.parametrize("save_at", [(), (2, 3)])
def test_a_value_that_is_not_finite_is_never_saved(tmp_path, save_at):
    """Whatever makes it so: here a step of infinite length."""
    problem = Problem()

    def losses(step):
        if step == 2:
            problem.optimiser.param_groups[0]["lr"] = float("inf")
        return {"size": (problem.model.weight**2).sum()}

    problem.losses = losses
    said = (
        "after step 2 model.weight holds values that are not finite" if save_at else "at step 3 size = inf, and model.w"
    )
    with pytest.raises(Prior3dError, match=said):
        problem.run(tmp_path, Watcher(save_at=save_at))
    if save_at:
        kept = checkpoints.load(tmp_path / "c.safetensors")
        assert kept[1]["n_steps_done"] == 2 and all(
            t.isfinite().all() for t in kept[0].values() if t.is_floating_point()
        )


def test_the_last_step_is_looked_at(tmp_path):
    problem = Problem()

    def losses(step):
        if step == 4:
            problem.optimiser.param_groups[0]["lr"] = float("inf")
        return {"size": (problem.model.weight**2).sum()}

    problem.losses = losses
    with pytest.raises(Prior3dError, match=r"after step 4 model.weight"):
        problem.run(tmp_path, Watcher(), n_steps=5)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    Problem().run(tmp_path, Watcher(save_at=(2,)), n_steps=2)
    other = Problem()
    other.model = nn.Linear(4, 1)
    with pytest.raises(Prior3dError, match="the checkpoint is of another model"):
        other.run(tmp_path, Watcher())


def test_late_decay():
    assert [late_decay(p, 0.6, 0.01) for p in (0, 0.6, 0.8, 1)] == pytest.approx([1, 1, 0.1, 0.01])
    assert late_decay(1.0, 1.0, 0.01) == 1


@pytest.mark.parametrize("length", [0.0, 1.0, 100.0])
def test_adam_cuts_long_gradients_of_all_parameters_together(length):
    """A gradient of (3, 4) over two tensors has the length 5: it is cut to 1, not to 100, as moments show."""
    values = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimiser = adam([{"params": [v], "lr": 0.1} for v in values], OptimiserSettings(max_gradient_norm=length))
    (3 * values[0] + 4 * values[1]).sum().backward()
    optimiser.step()
    moments = [optimiser.state[v]["exp_avg"].item() for v in values]
    scale = 0.2 if length == 1 else 1.0
    assert moments == pytest.approx([0.1 * 3 * scale, 0.1 * 4 * scale], rel=1e-4)
