"""Runs of a sweep through a Prefect work pool: what is asked of the server, and what comes of its answers."""

import os
from datetime import timedelta
from types import SimpleNamespace

import pytest
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Completed, Failed, Pending, Running, Scheduled

from flows.sweeps import prefect_pool
from flows.sweeps.places import carry_out, check_place
from flows.sweeps.prefect_pool import PrefectPool
from flows.sweeps.rows import wanted_runs
from flows.sweeps.running import DONE, FAILED, states_of
from flows.sweeps.seen_done import SeenDone
from flows.sweeps.table import Row
from prior3d.errors import Prior3dError


class Server:
    """A Prefect server with one deployment; `script` is what flow runs are, one after the other."""

    def __init__(self, script, work=lambda values: None, workers=("ONLINE",), limit=2):
        self.script, self.work, self.limit = list(script), work, limit
        self.workers, self.asked, self.set = workers, [], []

    def read_deployment_by_name(self, name):
        if name != "counting-method/prior3d":
            raise ObjectNotFound(None)
        return SimpleNamespace(id=7, work_pool_name="mine")

    def read_work_pool(self, name):
        return SimpleNamespace(concurrency_limit=self.limit)

    def read_workers_for_work_pool(self, name):
        return [SimpleNamespace(status=SimpleNamespace(value=status)) for status in self.workers]

    def create_flow_run_from_deployment(self, number, *, parameters, name):
        self.asked.append((number, parameters, name))
        return SimpleNamespace(id=len(self.asked) - 1)

    def read_flow_run(self, number):
        state = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if state.is_completed():
            self.work(self.asked[number][1])
        return SimpleNamespace(state=state, total_run_time=timedelta(seconds=3))

    def set_flow_run_state(self, number, state):
        self.set.append((number, state.type.value))


@pytest.fixture
def swept(fake, monkeypatch):
    """`swept(server, ...)` makes one row there and returns its state."""
    from flows.engine.project import find_project

    monkeypatch.setattr(prefect_pool, "LOOK_S", 0.01)
    os.chdir(fake.project)
    project = find_project(fake.project)

    def sweep(server, method="counting-method", **values):
        seen = SeenDone(project, "s")
        row = Row("s.csv, line 2", {"name": "demo", "prompt": "a mug", "prior": str(fake.prior)} | values)
        states = states_of(project, wanted_runs(project, "s", [row], method, [], seen), seen)
        carry_out(states, PrefectPool(project, server), seen, lambda _: None)
        return states[0]

    return sweep


def test_a_row_is_a_flow_run_with_the_rows_values(fake, swept):
    def made(values):
        assert (
            fake.run("--set", "counting.steps=5", "--seed", "4", prompt=values["prompt"], name=values["name"])[0] == 0
        )

    server = Server([Scheduled(), Pending(), Running(), Completed()], made)
    state = swept(server, seed=4, **{"counting.steps": 5})
    assert (state.state, state.problem, state.seconds) == (DONE, "", 3.0)
    [(deployment, values, name)] = server.asked
    assert (deployment, name, values["name"]) == (7, "demo", "demo")
    assert (values["prompt"], values["seed"], values["set"]) == ("a mug", 4, {"counting.steps": 5})
    assert (values["prior"], values["project"]) == (str(fake.prior), str(fake.project))
    assert swept(nobody := Server([]), seed=4, **{"counting.steps": 5}).state == DONE and nobody.asked == []


def test_what_became_of_a_flow_run_is_told(fake, swept):
    state = swept(Server([Failed(message="Flow run encountered an exception: StageFailed: stage\n x failed")]))
    assert (state.state, state.problem) == (FAILED, "StageFailed: stage x failed")
    assert swept(Server([Cancelled()])).problem == "it was cancelled on Prefect's pages"
    state = swept(Server([Completed()]))  # made elsewhere, or by another version
    assert state.state == FAILED and "is not what the row asks for; the worker needs this folder" in state.problem


def test_without_a_deployment_or_a_worker_one_line_says_so(fake, swept, monkeypatch):
    server = Server([Scheduled()], workers=("OFFLINE",))
    monkeypatch.setattr(prefect_pool, "NOBODY_S", 0.05)
    with pytest.raises(Prior3dError, match=r"nobody makes runs of the work pool mine; start: prior3d deploy --serve"):
        swept(server)
    assert server.set == [(0, "CANCELLED")]  # it waited: it is taken back
    monkeypatch.setattr(Server, "read_deployment_by_name", lambda *_: (_ for _ in ()).throw(ObjectNotFound(None)))
    with pytest.raises(Prior3dError, match="counting-method is not deployed; type: prior3d deploy counting-method"):
        swept(Server([]))


def test_a_run_that_goes_on_is_asked_to_stop(fake, swept, monkeypatch):
    server = Server([Running(), Running(), Cancelled()])
    monkeypatch.setattr(PrefectPool, "_somebody_lives", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        swept(server)
    assert server.set == [(0, "CANCELLING")] and len(server.script) == 1


def test_the_place_is_called_prefect():
    assert check_place("prefect") == ("prefect", "")
    for text in ("prefect:", "prefect:pool", "prefct"):
        with pytest.raises(Prior3dError, match="prefect"):
            check_place(text)
