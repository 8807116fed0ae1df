"""The order in which a worker makes stages by itself, and how often it tries; what is imported before the first."""

import threading
from types import SimpleNamespace

import pytest

from flows.commands import run
from flows.engine.events import Events
from flows.engine.execution import StageFailed
from flows.engine.method import Input, Method, Stage
from flows.engine.worker import Worker
from flows.methods import METHODS

METHOD = Method(
    name="diamond",
    summary="",
    inputs=(Input("prompt", "text", "words"),),
    stages=(
        Stage("first", {"prompt": "prompt"}),
        Stage("left", {"it": "first"}),
        Stage("right", {"it": "first"}),
        Stage("last", {"it": "left", "other": "right"}),
    ),
)


class Makes(Worker):
    """A worker whose stages take until they are let go, or fail as often as it is told."""

    def __init__(self, tmp_path, fails=()):
        declaration = SimpleNamespace(method=METHOD)
        executor = SimpleNamespace(stopping=False)
        run = SimpleNamespace(folder=tmp_path)
        super().__init__(run, declaration, None, executor, Events(), True, None)
        self.fails, self.made, self.let_go = list(fails), [], {s.name: threading.Event() for s in METHOD.stages}

    def _make(self, stage):
        self.made.append(stage.name)
        assert self.let_go[stage.name].wait(30)
        if self.fails:
            raise StageFailed(f"stage {stage.name}", self.fails.pop(0))
        return "Completed"

    def begun(self):
        return set(self._begun)

    def end(self, name):
        self.let_go[name].set()
        self._begun[name].exception(30)


@pytest.fixture
def closing():
    workers = []
    yield workers.append
    for worker in workers:
        for event in worker.let_go.values():
            event.set()
        worker.close()


def test_each_stage_begins_when_those_that_it_needs_are_there(tmp_path, closing):
    worker = Makes(tmp_path)
    closing(worker)
    worker.begin_each(list(METHOD.stages))
    assert worker.begun() == {"first"} and not worker.rests()
    worker.end("first")
    assert worker.begun() == {"first", "left", "right"} and not worker.rests()
    worker.end("right")
    assert "last" not in worker.begun()
    worker.end("left")
    assert worker.begin(METHOD.stage("last")) is worker._begun["last"]  # who asks for one that has begun waits for it
    worker.end("last")
    assert worker.rests() and sorted(worker.made) == ["first", "last", "left", "right"]


@pytest.mark.parametrize(("stopping", "closed"), [(True, False), (False, True)])
def test_no_stage_begins_in_a_run_that_is_being_stopped(tmp_path, closing, stopping, closed):
    worker = Makes(tmp_path)
    closing(worker)
    worker.begin_each(list(METHOD.stages))
    worker.executor.stopping, worker._closed = stopping, closed
    worker.end("first")
    assert worker._begun["first"].result() == "Completed" and worker.begun() == {"first"} and worker.rests()


@pytest.mark.parametrize(("fails", "tries"), [([True] * 9, 2), ([False] * 9, 1), ([True], 2)])
def test_a_stage_is_tried_as_often_as_it_allows_whoever_asks(tmp_path, closing, fails, tries):
    """Prefect's task of a stage asks whether trying again may help after the worker has tried for itself."""
    worker = Makes(tmp_path, fails)
    closing(worker)
    assert METHOD.stage("first").retries == 1
    worker.begin_each(list(METHOD.stages[:1]))
    worker.end("first")
    assert worker.made == ["first"] * tries and not worker.may_retry("first")
    assert (worker._begun["first"].exception() is None) == (fails == [True])


def test_prefects_task_may_try_a_stage_again_that_was_tried_once(tmp_path, closing):
    worker = Makes(tmp_path, [True])
    closing(worker)
    worker.begin(METHOD.stage("first"))
    worker.end("first")
    assert worker.may_retry("first")
    assert worker.begin(METHOD.stage("first"), again=True).result(30) == "Completed"


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_torch_is_imported_before_it_is_known_which_stages_a_run_has(method):
    asked = []
    run._preload(SimpleNamespace(preload=asked.extend), method)
    assert ("torch", "") in asked and "diffusers" not in {module.partition(".")[0] for module, _ in asked}


def test_a_server_that_is_gone_before_the_plan_is_no_error():
    def gone(_):
        raise BrokenPipeError

    run._preload(SimpleNamespace(preload=gone), METHODS["quick"])
