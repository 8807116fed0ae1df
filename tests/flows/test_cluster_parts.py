"""What a sweep sends to workers and takes back, without an engine: a worker is a thread here, its project a folder."""

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.sweeps import task as tasks
from flows.sweeps.cluster import Cluster, Sending
from flows.sweeps.places import carry_out, check_place
from flows.sweeps.rows import wanted_runs
from flows.sweeps.running import DONE, FAILED, states_of
from flows.sweeps.seen_done import SeenDone
from flows.sweeps.table import Row
from flows.sweeps.task import Answer, Task, carry_out_task, code_of_prior3d
from prior3d.errors import Prior3dError
from tests.flows.clusters import ROOT, SITE


class Threads:
    """An engine whose workers are threads; those that are refused get nothing more."""

    def __init__(self, *workers):
        self.workers, self.refused, self.tasks = list(workers), [], []
        self.pool = ThreadPoolExecutor(1)

    def slots(self):
        if not self.workers:
            raise Prior3dError("nobody is left")
        return 1

    def submit(self, task):
        self.tasks.append(task)
        if not self.workers:
            raise Prior3dError("nobody is left")
        name, carry = self.workers[0]
        return name, self.pool.submit(carry, task)

    def result(self, handle):
        name, future = handle
        return (name, future.result()) if future.done() else None

    def refuse(self, worker):
        self.refused.append(worker)
        self.workers = [w for w in self.workers if w[0] != worker]

    def close(self, handles):
        self.pool.shutdown()


@pytest.fixture
def elsewhere(fake, tmp_path, monkeypatch):
    """A worker's project that shares a folder as the remote with the sender's."""
    from flows.engine.project import init_project

    place = tmp_path / "elsewhere"
    init_project(place)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    path = os.pathsep.join(map(str, (ROOT, fake.code, tmp_path / "site")))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("PRIOR3D_PROJECT", str(place))
    assert fake.cli("remote", "add", str(tmp_path / "shared"))[0] == 0
    shutil.copy(fake.project / ".dvc" / "config", place / ".dvc" / "config")
    return place


def swept(fake, engine, values, taking="all"):
    """The state of the one row of a sweep, and what was warned of."""
    from flows.engine.project import find_project

    os.chdir(fake.project)
    project, warnings = find_project(fake.project), []
    seen = SeenDone(project, "s")
    row = Row("s.csv, line 2", {"name": "demo", "prompt": "a mug", "prior": str(fake.prior)} | values)
    states = states_of(project, wanted_runs(project, "s", [row], "counting-method", [], seen), seen)
    place = Cluster(Sending(project, "s", taking), engine, warnings.append)
    carry_out(states, place, seen, lambda _: None)
    return states[0], warnings


def worker(task):
    return carry_out_task(task, lambda: False)


def test_a_run_that_was_made_elsewhere_comes_back(fake, elsewhere):
    state, warnings = swept(fake, Threads(("one", worker)), {})
    assert (state.state, state.problem, warnings) == (DONE, "", [])
    made = elsewhere / "data" / "runs" / "demo"
    assert fake.text("joining") == (made / "joining" / "text.txt").read_text()
    record = json.loads((fake.folder() / "history" / "0001.json").read_text())
    assert record["outcomes"]["counting"] == "Completed" and fake.cli("plan", "demo")[1].count("unchanged") == 3
    assert fake.cli("verify", "--all")[1].splitlines()[-1] == "all is whole"
    assert "on " in (fake.project / ".prior3d" / "sweeps" / "s" / "demo.log").read_text()
    assert not list((fake.project / ".prior3d" / "sweeps" / "s").glob("token-*"))
    nobody = Threads()
    assert swept(fake, nobody, {})[0].state == DONE and nobody.tasks == []  # it was seen done
    state, _ = swept(fake, Threads(("one", worker)), {"counting.steps": 4}, taking="last")
    assert state.state == DONE and (fake.folder() / "history" / "0002.lock").is_file()


def test_a_failure_elsewhere_is_told_here_with_its_traceback(fake, elsewhere):
    state, _ = swept(fake, Threads(("one", worker)), {"counting.fail": "crash"})
    assert state.state == FAILED and "stage counting failed with exit code 1" in state.problem
    failure = json.loads((fake.folder() / ".work" / "counting" / "failure.json").read_text())
    assert any("ValueError: something unforeseen" in line for line in failure["output"])


def test_a_worker_of_another_version_is_refused_and_another_takes_the_row(fake, elsewhere):
    def other_version(task):
        return carry_out_task(Task(**(vars(task) | {"code": "0123"})), lambda: False)

    engine = Threads(("old", other_version), ("new", worker))
    state, warnings = swept(fake, engine, {})
    assert state.state == DONE and engine.refused == ["old"] and len(engine.tasks) == 2
    assert len(warnings) == 1 and "worker old gets no rows: it has another version of prior3d" in warnings[0]
    assert f"({code_of_prior3d()}; the sweep's is 0123)" in warnings[0]
    with pytest.raises(Prior3dError, match="nobody is left"):
        swept(fake, Threads(("old", other_version)), {"counting.steps": 5})


def test_what_a_worker_needs_is_said(fake, elsewhere, monkeypatch, tmp_path):
    def asked(**changes):
        values = {
            "sweep": "s", "name": "x", "method": "counting-method", "words": (), "files": {},
            "code": code_of_prior3d(), "token": "token-none", "remote": True,
        }  # fmt: skip
        return carry_out_task(Task(**(values | changes)), lambda: False)

    assert "has no remote; name one with: prior3d remote add" in asked(remote=False).problem
    monkeypatch.setenv("PRIOR3D_PROJECT", str(tmp_path))
    assert f"{tmp_path} is in no project; start it in one, or set PRIOR3D_PROJECT" in asked().refused


def test_words_are_as_the_worker_understands_them(fake, elsewhere, tmp_path):
    from flows.engine.project import find_project

    project = find_project(fake.project)
    sending = Sending(project, "s", "all")
    inside = fake.project / "priors" / "mine"
    shutil.copytree(fake.prior, inside)
    (tmp_path / "photo.png").write_bytes(b"png")
    kinds, files = {"--image": "file", "--prior": "prior", "--prompt": "text"}, {}
    sent = [
        sending._sent(word, kinds, files)
        for word in (
            f"--prior={inside}", f"--prior={fake.prior}", f"--image={tmp_path / 'photo.png'}", f"--prompt={inside}",
        )
    ]  # fmt: skip
    assert sent[0] == "--prior={project}/priors/mine" and sent[1] == f"--prior={fake.prior}"
    assert sent[2] == "--image={files}/0-photo.png" and files == {"0-photo.png": b"png"}
    assert sent[3] == f"--prompt={inside}"
    sending.close()


def test_an_answer_that_is_no_lock_is_not_kept(fake, elsewhere):
    def broken(task):
        return Answer(lock=b"{", record=b"", seconds=1.0, worker="w")

    state, _ = swept(fake, Threads(("one", broken)), {})
    assert state.state == FAILED and not (fake.folder() / "dvc.lock").exists()


def test_a_run_that_is_still_stopping_is_waited_for(fake, elsewhere, monkeypatch):
    said = iter(["error: run x: another prior3d process works on it; wait\n", "done\n"])
    monkeypatch.setattr(tasks.time, "sleep", lambda _: None)

    def process(project, words, log, stopped):
        text = next(said)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as stream:
            stream.write(text)
        return 0 if "done" in text else 2

    monkeypatch.setattr(tasks, "_process", process)
    from flows.engine.project import Project

    task = Task("s", "x", "m", (), {}, "", "", True)
    assert tasks._run_there(Project(elsewhere), task, lambda: False) == (0, "done\n")


def test_a_run_ends_when_its_worker_is_gone(fake, elsewhere):
    import subprocess
    import time

    words = [
        "--prompt=x",
        f"--prior={fake.prior}",
        "--name=long",
        "--set=counting.steps=400",
        "--set=counting.pause_s=0.1",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.sweeps.leash", "run", "counting-method", *words, "--plain"],
        cwd=elsewhere, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    work = elsewhere / "data" / "runs" / "long" / ".work" / "counting"
    until = time.monotonic() + 60
    while not list(work.glob("*/state.json")) and time.monotonic() < until:
        time.sleep(0.1)
    process.stdin.close()  # as the kernel does it
    assert process.wait(60) == 130 and list(work.glob("*/state.json"))


def test_places_are_checked_before_anything_runs(monkeypatch):
    assert check_place("local") == ("local", "") and check_place("local:3") == ("local", "3")
    monkeypatch.setattr("flows.sweeps.places.find_spec", lambda _: None)
    for kind in ("dask", "ray"):
        with pytest.raises(Prior3dError, match=rf"the extra {kind} is missing; type: pip install 'prior3d\[{kind}\]'"):
            check_place(f"{kind}:x")


def test_seen_runs_are_known_until_something_changes(fake, elsewhere, monkeypatch):
    assert swept(fake, Threads(("one", worker)), {})[0].state == DONE
    engine = Threads(("one", worker))

    def again(**values):
        before = len(engine.tasks)
        engine.pool = ThreadPoolExecutor(1)
        state, _ = swept(fake, engine, values)
        assert state.state == DONE
        return len(engine.tasks) > before

    from flows.sweeps import running

    monkeypatch.setattr(running, "is_done", lambda *_: False)  # only what was seen counts
    assert not again()
    file = fake.folder() / "joining" / "text.txt"
    text = file.read_text()
    file.unlink()
    file.write_text(text)
    assert again() and not again()
    fake.edit("joining/stage.py", "run(job", "run(job")  # the same text: the digest of code counts, not the time
    assert not again()
    (fake.project / ".prior3d" / "sweeps" / "s" / "done.json").write_text("[]")
    assert again()
    (fake.project / ".prior3d" / "sweeps" / "s" / "done.json").unlink()
    assert again() and Path(fake.project / ".prior3d" / "sweeps" / "s" / "done.json").is_file()
