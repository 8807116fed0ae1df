import os
import sys
import time

import pytest

from flows.engine.project import find_project
from flows.studio import queue as queue_module
from flows.studio.queue import Queue
from tests.flows.conftest import ROOT, fake  # noqa: F401  (the fixture)


@pytest.fixture
def queue(fake, monkeypatch):  # noqa: F811
    """The queue of the fake project, whose jobs know the fake method."""
    monkeypatch.setattr(queue_module, "COMMAND", (sys.executable, str(fake.code / "fake_studio.py"), "job"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{fake.code}")
    made = Queue(find_project(fake.project))
    yield made
    for job in queue_module.all_jobs(made.project):
        made.stop(job.id)
    until = time.monotonic() + 30
    while any(job.state() in ("running", "stopping") for job in queue_module.all_jobs(made.project)):
        made.tick()
        assert time.monotonic() < until
        time.sleep(0.05)
