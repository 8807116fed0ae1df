"""The queue of studio: jobs end as they ought to, whoever is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from flows.engine.project import find_project
from flows.studio.jobs import all_jobs, read_job
from flows.studio.queue import KEPT_DONE, MOST_KILLS
from prior3d.errors import Prior3dError
from tests.flows.conftest import ROOT


def add(fake, queue, *words, name="demo", prompt="one two", key=""):
    line = [f"--prompt={prompt}", f"--prior={fake.prior}", "--preset=toy", "--plain", f"--name={name}", *words]
    return queue.add(key or f"{name} {words}", "counting-method", line, name, prompt, {"prompt": prompt})


def until(queue, holds, seconds=60.0):
    """Look after the queue until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        queue.tick()
        assert time.monotonic() < end, [(job.run, job.state(), job.progress(), job.outcome()) for job in jobs(queue)]
        time.sleep(0.02)


def jobs(queue):
    return all_jobs(queue.project)


def state(job):
    return read_job(job.folder).state()


def step_of(fake, name="demo"):
    """How far the counting has come, from its checkpoint."""
    found = list((fake.folder(name) / ".work" / "counting").glob("*/state.json"))
    return json.loads(found[0].read_text())["step"] if found else 0


SLOW = ("--set=counting.steps=40", "--set=counting.pause_s=0.04")


def whole(fake):
    """The result of the slow run when nothing disturbs it."""
    code, _, _ = fake.run("--set", "counting.steps=40", name="whole")
    assert code == 0
    return fake.text("counting", "whole")


def test_jobs_become_runs_one_after_the_other(fake, queue):
    first, second = add(fake, queue), add(fake, queue, name="other", prompt="three")
    assert [job.run for job in jobs(queue)] == ["demo", "other"] and state(second) == "waiting"
    seen = set()

    def both_done():
        seen.add((state(first), state(second)))
        return (state(first), state(second)) == ("done", "done")

    until(queue, both_done)
    assert ("running", "running") not in seen and ("waiting", "done") not in seen
    assert fake.text("counting").startswith("one two ") and fake.text("counting", "other").startswith("three ")
    said = {stage["name"]: stage for stage in first.progress()["stages"]}
    assert said["counting"]["state"] == "done" and said["counting"]["step"] == 3 and said["joining"]["seconds"] >= 0
    code, out, _ = fake.run("--set", "counting.steps=3")  # it is a run as any other
    assert code == 0 and "nothing to do" in out


def test_a_request_that_is_sent_twice_makes_one_job(fake, queue):
    first = add(fake, queue, key="a")
    assert add(fake, queue, key="a").id == first.id and add(fake, queue, key="b").id == first.id  # a second tab
    assert add(fake, queue, "--seed=3", key="c").id != first.id
    assert queue.names_in_use("counting-method", {"prompt": "another"}) == {"demo"}
    assert queue.names_in_use("counting-method", {"prompt": "one two"}) == set()


def test_requests_without_a_key_are_told_apart_and_old_jobs_are_forgotten(fake, queue):
    found = [queue.add("", "counting-method", [f"--seed={n}"], f"run-{n}", "x", {}) for n in range(KEPT_DONE + 3)]
    assert len({job.id for job in found}) == KEPT_DONE + 3  # a program such as Blender's add-on sends none
    for job in found[1:]:
        job.end("done")
    queue.tidy()
    left = {job.run for job in jobs(queue)}
    assert len(left) == KEPT_DONE + 1 and {"run-0", "run-3"} <= left and not {"run-1", "run-2"} & left


def test_stopped_and_resumed_it_goes_on_at_its_checkpoint(fake, queue):
    job = add(fake, queue, *SLOW)
    until(queue, lambda: step_of(fake) >= 5)
    queue.stop(job.id)
    assert state(job) == "stopping"
    until(queue, lambda: state(job) == "stopped")
    assert "checkpoints are saved" in job.outcome()["message"]
    until(queue, lambda: True)
    assert state(job) == "stopped"  # it stays so
    queue.resume(job.id)
    assert state(job) == "waiting"
    until(queue, lambda: state(job) == "done")
    assert "resumed at" in job.log.read_text() and fake.text("counting") == whole(fake)


def test_one_that_waits_is_stopped_at_once_and_can_be_removed(fake, queue):
    job, other = add(fake, queue, *SLOW), add(fake, queue, name="other")
    until(queue, lambda: state(job) == "running")
    queue.stop(other.id)
    assert state(other) == "stopped"
    queue.remove(other.id)
    with pytest.raises(Prior3dError, match="no longer in the queue"):
        queue.stop(other.id)
    with pytest.raises(Prior3dError, match="running; stop it first"):
        queue.remove(job.id)
    for wrong in ("../../x", "", "zz", "0" * 16):
        with pytest.raises(Prior3dError, match="no longer in the queue"):
            queue.job(wrong)


@pytest.mark.parametrize(
    ("fail", "message"),
    [("user", "stage counting: the count came to nothing; raise counting.steps"), ("crash", "stage counting failed")],
)
def test_a_run_that_fails_says_why(fake, queue, fail, message):
    job = add(fake, queue, f"--set=counting.fail={fail}")
    until(queue, lambda: state(job) == "failed")
    assert message in job.outcome()["message"] and read_job(job.folder).kills == 0


def test_a_request_that_became_wrong_fails_with_its_line(fake, queue):
    job = add(fake, queue, "--set=counting.stpes=3")
    until(queue, lambda: state(job) == "failed")
    assert "did you mean counting.steps" in job.outcome()["message"]


def test_a_run_that_is_killed_goes_on_by_itself(fake, queue):
    job = add(fake, queue, *SLOW)
    until(queue, lambda: step_of(fake) >= 5)
    os.kill(job.process().pid, signal.SIGKILL)
    until(queue, lambda: state(job) == "done")
    assert read_job(job.folder).kills == 1 and "resumed at" in job.log.read_text()
    assert fake.text("counting") == whole(fake)


def test_one_that_is_killed_again_and_again_is_given_up(fake, queue):
    job = add(fake, queue, "--set=counting.steps=4000", "--set=counting.pause_s=0.05")
    before = 0
    for _ in range(MOST_KILLS):
        until(queue, lambda old=before: state(job) == "running" and (now := job.process()) and now.pid != old)
        before = job.process().pid
        os.kill(before, signal.SIGKILL)
    until(queue, lambda: state(job) == "failed")
    assert f"killed {MOST_KILLS} times" in job.outcome()["message"]
    queue.resume(job.id)
    assert read_job(job.folder).kills == 0 and state(job) == "waiting"


def test_a_damaged_job_is_left_out(fake, queue):
    job, other = add(fake, queue), add(fake, queue, name="other")
    for content in (b"", b"[]", b"\xff", b'{"id": 3}', (other.folder / "job.json").read_bytes()):
        (job.folder / "job.json").write_bytes(content)
        assert [found.run for found in jobs(queue)] == ["other"]


def test_notes_of_another_process_with_the_same_number_are_not_believed(fake, queue):
    job = add(fake, queue)
    job.note_process()
    assert job.process().pid == os.getpid()
    noted = json.loads((job.folder / "process.json").read_text())
    (job.folder / "process.json").write_text(json.dumps(noted | {"began": noted["began"] - 100}))
    assert job.process() is None


class Studio:
    """`prior3d studio` of the fake project, as a process."""

    def __init__(self, fake):
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{fake.code}", "PYTHONUNBUFFERED": "1"}
        words = [sys.executable, str(fake.code / "fake_studio.py"), "serve", str(fake.project)]
        self.process = subprocess.Popen(words, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said = self.process.stdout.readline()

    def kill(self):
        self.process.kill()
        self.process.communicate()


def kill_and_see(fake, queue, whom, at_step):
    """Kill studio, the run or both at some step; start studio again if it was killed; the job must end as it would."""
    job, studio = add(fake, queue, *SLOW), Studio(fake)
    try:
        end = time.monotonic() + 60
        while step_of(fake) < at_step:
            assert time.monotonic() < end and studio.process.poll() is None, studio.said
            time.sleep(0.01)
        if whom in ("studio", "both"):
            studio.kill()
        if whom in ("run", "both"):
            running = job.process()
            if running is not None:
                running.kill()
        if whom != "run":
            studio = Studio(fake)
            assert studio.said.startswith("studio: http://127.0.0.1:")
        while state(job) != "done":
            assert time.monotonic() < end and state(job) != "failed", (job.outcome(), job.log.read_text())
            time.sleep(0.05)
    finally:
        studio.kill()
    assert fake.text("counting") == whole(fake)


@pytest.mark.parametrize("whom", ["studio", "both"])
def test_a_job_survives(fake, queue, whom):
    kill_and_see(fake, queue, whom, at_step=8)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_a_job_survives_twenty_kills_of_each(fake, queue, number):
    whom = ("studio", "run", "both")[number % 3]
    kill_and_see(fake, queue, whom, at_step=random.Random(number).randint(0, 35))


def test_a_second_studio_says_where_the_first_one_is(fake):
    first = Studio(fake)
    try:
        again = Studio(fake)
        again.process.wait(30)
        address = first.said.split()[1]
        assert again.said.strip() == f"studio of this project is running already: {address}"
        kept = find_project(fake.project).state / "studio" / "address.json"
        assert kept.stat().st_mode & 0o777 == 0o600
    finally:
        first.kill()
    third = Studio(fake)  # an open tab finds it where the first one was
    third.kill()
    assert third.said.split()[1] == address
