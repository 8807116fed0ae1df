"""The trainer: same bits after a kill, the clock, the schedule, the average, and what it refuses."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from prior3d import checkpoints
from prior3d.errors import Prior3dError
from prior3d.settings.optimisation import TrainingSettings
from stages.contract.job import Stopped
from stages.training import trainer as module
from stages.training.facts import samples_seen
from stages.training.parameters import TrainingParams
from stages.training.trainer import Meter, Trainer, learning_rate_factor
from stages.training.vae.stage import build
from stages.training.weights import load_weights
from tests.toy_training import training_job


def linear_trainer(root, steps=3, minutes=None, learning_rate=1e-2, seed=0, **more):
    job = training_job(root, "linear")
    job.checkpoint_every_s = 0
    params = TrainingParams(steps=steps, seed=seed, learning_rate=learning_rate, minutes=minutes)
    return Trainer(job, {"model": nn.Linear(1, 1)}, params, **more)


def run_training(root, total, stop_at=None):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    job = training_job(root, "linear")
    job.checkpoint_every_s = 0
    trainer = Trainer(job, {"model": model}, TrainingParams(steps=total, seed=4, learning_rate=1e-2))
    for step in trainer.steps():
        x = torch.randn(8, 3, generator=trainer.generator)
        trainer.update((model(x) - x[:, :2]).square().mean())
        if step == stop_at:
            job.stopping = True
    return model.state_dict() | {f"average.{k}": v for k, v in trainer.averaged("model").state_dict().items()}


def test_training_that_was_asked_to_stop_ends_in_the_same_bits(tmp_path):
    straight = run_training(tmp_path / "a", 12)
    with pytest.raises(Stopped):
        run_training(tmp_path / "b", 12, stop_at=5)
    _, state = checkpoints.load(tmp_path / "b/.work/training/linear/key/checkpoint.safetensors")
    assert state["step"] == 6
    resumed = run_training(tmp_path / "b", 12)
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def test_the_average_follows_the_weights_more_slowly_the_longer_it_lasts(tmp_path):
    trainer = linear_trainer(tmp_path, steps=4)
    model, expected = trainer.models["model"], None
    for step in trainer.steps():
        trainer.update(model(torch.ones(1, 1)).square().sum())
        decay = 0.0 if step == 0 else (1 + step) / (10 + step)
        now = model.weight.detach().clone()
        expected = now if expected is None else decay * expected + (1 - decay) * now
    torch.testing.assert_close(trainer.averaged("model").weight, expected)
    assert trainer.averaged("model") is trainer.averaged("model"), "samples are drawn with one model all along"


def test_a_warm_start_takes_every_weight_and_goes_on_counting_samples(tmp_path):
    torch.manual_seed(0)
    before, after = build((8, 8, 8)), build((8, 8, 8))
    before.half().save_pretrained(tmp_path / "vae")
    weights = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    load_weights(after, weights)
    assert all(torch.equal(a, b.float()) for a, b in zip(after.parameters(), before.parameters(), strict=True))
    with pytest.raises(Prior3dError, match="its weights do not fit .*size mismatch"):
        load_weights(build((8, 8, 16)), weights)
    with pytest.raises(Prior3dError, match="there are no weights to begin with; set warm_start: false"):
        load_weights(after, tmp_path / "nothing.safetensors")
    (tmp_path / "training.json").write_text('{"samples": 32, "samples_before": 100}')
    assert samples_seen(tmp_path) == 132
    (tmp_path / "training.json").write_text('{"samples": 32}')
    assert samples_seen(tmp_path) == 32


def test_samples_before_a_warm_start_survive_a_kill(tmp_path):
    linear_trainer(tmp_path, samples_before=640).save()
    assert linear_trainer(tmp_path).samples_before == 640


def test_training_refuses_a_loss_that_is_not_finite(tmp_path):
    trainer = linear_trainer(tmp_path)
    next(trainer.steps())
    loss = trainer.models["model"](torch.tensor([[float("nan")]])).sum()
    with pytest.raises(
        Prior3dError, match="linear: a loss or its gradient is not finite by step 0; lower linear.learning_rate"
    ):
        trainer.update(loss)
    with pytest.raises(Prior3dError, match="not finite"):
        trainer.save()
    assert not trainer.path.exists()


def test_a_checkpoint_of_an_earlier_version_is_an_error_and_not_a_new_beginning(tmp_path):
    old = tmp_path / ".work/training/linear/checkpoint.pt"
    old.parent.mkdir(parents=True)
    torch.save({"step": 7}, old)
    with pytest.raises(Prior3dError, match="checkpoint.pt: a checkpoint of an earlier version.*delete the file"):
        linear_trainer(tmp_path)
    old.unlink()
    assert linear_trainer(tmp_path).first == 0


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    linear_trainer(tmp_path).save()
    job = training_job(tmp_path, "linear")
    with pytest.raises(Prior3dError, match="of another model .*Delete it to begin again"):
        Trainer(job, {"model": nn.Linear(2, 1)}, TrainingParams())
    with pytest.raises(Prior3dError, match="of another model"):
        Trainer(job, {"other": nn.Linear(1, 1)}, TrainingParams())


def test_the_schedule_warms_up_stays_and_falls():
    factor = partial(learning_rate_factor, settings=TrainingSettings())
    assert factor(0, 0.0) == pytest.approx(0.01)
    assert factor(100, 0.1) == factor(399, 0.399) == 1.0
    assert factor(700, 0.7) == pytest.approx(0.505)
    assert factor(999, 0.999) == pytest.approx(0.01, abs=1e-4)
    assert factor(49, 0.7) == pytest.approx(0.505 / 2)


def test_the_schedule_is_what_the_settings_say():
    settings = TrainingSettings(warm_up_steps=10, decay_from=0.0, decay_to=0.5)
    assert learning_rate_factor(4, 0.0, settings) == pytest.approx(0.5)
    assert learning_rate_factor(100, 0.5, settings) == pytest.approx(0.75)
    assert learning_rate_factor(100, 1.0, settings) == pytest.approx(0.5)


def test_a_step_follows_the_optimiser_settings(tmp_path):
    settings = TrainingSettings(
        betas=(0.5, 0.6), weight_decay=0.1, max_gradient_norm=1e-3, warm_up_steps=1, decay_from=0.0, ema_decay=0.0
    )
    job = training_job(tmp_path, "linear")
    model = nn.Linear(1, 1)
    trainer = Trainer(job, {"model": model}, TrainingParams(steps=2, learning_rate=0.5, optimiser=settings))
    group = trainer.optimiser.param_groups[0]
    assert (group["betas"], group["weight_decay"]) == ((0.5, 0.6), 0.1)
    for step in trainer.steps():
        assert group["lr"] == pytest.approx(0.5 * learning_rate_factor(step, step / 2, settings))
        trainer.update(1e6 * model(torch.ones(1, 1)).sum())
        assert sum(p.grad.square().sum() for p in model.parameters()).sqrt() <= 1.001e-3
        assert torch.equal(trainer.averaged("model").weight, model.weight)  # no memory at a decay of 0


def test_a_training_by_the_clock_ends_with_it_and_counts_earlier_sittings(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def sit(most):
        trainer = linear_trainer(tmp_path, steps=1000, minutes=1, learning_rate=1.0)
        rates = []
        for _ in trainer.steps():
            if len(rates) == most:
                break  # killed before the end of this step, after the checkpoint of the one before
            rates.append(trainer.optimiser.param_groups[0]["lr"])
            clock[0] += 6  # seconds a step
        return trainer, rates

    _, rates = sit(most=4)
    assert rates == pytest.approx([0.01, 0.02, 0.03, 0.04])  # still warming up
    clock[0] += 1000  # between the sittings
    second, rates = sit(most=None)
    assert (second.first, second.done, len(rates)) == (4, 10, 6)
    assert rates[0] == pytest.approx(0.05) and rates[-1] == pytest.approx(
        0.1 * learning_rate_factor(1000, 0.9, TrainingSettings())
    )
    third, rates = sit(most=None)
    assert third.done == 10 and rates == []


def test_a_checkpoint_of_another_device_goes_on_with_numbers_of_its_own(tmp_path):
    first = linear_trainer(tmp_path)
    next(first.steps())
    first.save()
    tensors, state = checkpoints.load(first.path)
    tensors["generator"] = torch.zeros(16, dtype=torch.uint8)
    checkpoints.save(first.path, tensors, state | {"device": "cuda"})
    second = linear_trainer(tmp_path)
    assert second.first == 1 and second.generator.initial_seed() == 1


def test_the_mean_loss_and_the_pace_are_reported_now_and_then(tmp_path, capsys):
    trainer = linear_trainer(tmp_path, steps=21)
    trainer.job._last_progress = -1e9
    meter = Meter(trainer, "samples")
    for step in trainer.steps():
        meter.take(torch.tensor(float(step)), 8, lambda: "so far so good")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("@@")]
    assert len(lines) == 2 and '"step": 1, "total": 21, "loss": 0.0' in lines[0]
    assert '"step": 21, "total": 21, "loss": 10.0' in lines[1] and "samples/s, so far so good" in lines[1]
