"""Break a stage off in the middle, for tests that go on with it."""

import stages.contract.job


def stop_at(monkeypatch, step_to_stop):
    """Break the next execution off right after a step, as an exception does; checkpoints are due at every step."""
    report = stages.contract.job.Job.progress

    def progress(self, step, total, **others):
        if step == step_to_stop:
            raise RuntimeError("broken off")
        report(self, step, total, **others)

    monkeypatch.setattr(stages.contract.job, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(stages.contract.job.Job, "progress", progress)
