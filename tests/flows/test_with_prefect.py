"""How a run waits for Prefect's server, and leaves one that is gone."""

import sys
import threading
import time
import types

import pytest

from flows.engine import with_prefect
from flows.engine.project import Project


class Answers:
    """Stands for a server: healthy as often as it is told to be."""

    shown, own = "http://127.0.0.1:9/api", True

    def __init__(self, *answers):
        self.left = list(answers)

    def healthy(self):
        return self.left.pop(0) if self.left else False


def watched(monkeypatch, flow, server, errors=()):
    orchestration = types.SimpleNamespace(run_as_flow=flow)
    monkeypatch.setitem(sys.modules, "flows.engine.orchestration", orchestration)
    monkeypatch.setattr(with_prefect, "LOOK_EVERY_S", 0.05)
    executor = types.SimpleNamespace(stop_children=lambda: None)
    worker = types.SimpleNamespace(errors=dict(enumerate(errors)), executor=executor)
    return with_prefect._watched(worker, [], server)


def test_a_run_leaves_a_server_that_is_gone(monkeypatch):
    never = threading.Event()
    outcomes, why = watched(monkeypatch, lambda *_: never.wait(60), Answers(True, False, True))
    never.set()
    assert outcomes is None and why == "Prefect's server at http://127.0.0.1:9/api is gone"

    def refused(*_):
        raise ConnectionRefusedError("no")

    assert watched(monkeypatch, refused, Answers())[1].endswith("is gone")
    outcomes, why = watched(monkeypatch, refused, Answers(True, True))
    assert outcomes is None and why == "Prefect failed (ConnectionRefusedError: no)"


@pytest.mark.parametrize(
    ("rests", "errors", "own", "patience"),
    [
        (False, {}, True, with_prefect.OWN_SERVER_WAIT_S),
        (False, {}, False, with_prefect.OTHER_SERVER_WAIT_S),
        (True, {}, True, with_prefect.SERVER_WAIT_AFTER_STAGES_S),
        (True, {"a": ValueError()}, True, with_prefect.SERVER_WAIT_AFTER_ERROR_S),
    ],
)
def test_patience_with_a_server(rests, errors, own, patience):
    assert with_prefect._patience_s(types.SimpleNamespace(rests=lambda: rests, errors=errors), own) == patience


def test_a_run_whose_stages_are_made_waits_for_no_server_for_long(tmp_path):
    server, began, patience = Answers(), time.monotonic(), [60.0, 60.0, 0.3]
    server.own = False
    assert not with_prefect._wait_until_healthy(
        Project(tmp_path), server, lambda: patience.pop(0) if len(patience) > 1 else patience[0]
    )
    assert 0.5 <= time.monotonic() - began < 2
    assert with_prefect._wait_until_healthy(Project(tmp_path), Answers(False, True), lambda: 60.0)


def test_an_error_of_a_stage_is_none_of_prefects(monkeypatch):
    bug = ValueError("a stage's own")

    def fails(*_):
        raise bug

    with pytest.raises(ValueError, match="a stage's own"):
        watched(monkeypatch, fails, Answers(), errors=[bug])
    assert watched(monkeypatch, lambda *_: {"a": "Completed"}, Answers()) == ({"a": "Completed"}, "")
