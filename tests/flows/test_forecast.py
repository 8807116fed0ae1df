"""What `plan` and `status` say: stages out of the cache, the time of the others, what runs now; and without DVC."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from flows.commands.running import plan_text
from flows.engine import seen_states
from flows.engine.forecast import Forecast
from flows.engine.plan import Plan, Step

ROOT = Path(__file__).resolve().parents[2]


def planned(fake, *words, name="other"):
    code, out, err = fake.cli(
        "plan",
        "counting-method",
        "--prompt",
        "one two",
        "--name",
        name,
        "--prior",
        str(fake.prior),
        "--preset",
        "toy",
        *words,
    )
    assert (code, err) == (0, "")
    return [line.strip() for line in out.splitlines()]


def test_a_plan_says_what_the_cache_has(fake):
    """All stages of another run, of which only the first one's inputs are known."""
    assert fake.run()[0] == 0
    lines = planned(fake)
    assert [" ".join(line.split()) for line in lines] == [
        "counting from the cache new", "shouting from the cache new", "joining from the cache new"
    ]  # fmt: skip
    assert all("from the cache" not in line for line in planned(fake, "--seed", "1"))
    assert all("from the cache" not in line for line in planned(fake, "--no-restore"))
    code, out, _ = fake.run(name="other")
    assert code == 0 and set(fake.outcomes(out).values()) == {"Restored"}  # as it was foretold
    objects = [p for p in (fake.project / ".dvc" / "cache" / "files").rglob("*") if p.is_file()]
    for place in objects:
        place.unlink()
    assert all("from the cache" not in line for line in planned(fake, name="third"))


def test_a_plan_says_how_long_stages_took_last_time(fake):
    assert fake.run("--set", "counting.pause_s=0.2")[0] == 0
    lines = planned(fake, "--seed", "1")
    assert all("new; took" in line and line.endswith("last time") for line in lines[:3])
    assert lines[3].startswith("about ") and lines[3].endswith("s in all, as these stages took last time")
    step = Step("a", "make", ("new",))
    assert (
        plan_text(Plan((step,)), Forecast(seconds={"a": 269.0})).strip()
        == "a  to make    new; took 4 min 29 s last time"
    )


def test_plan_and_status_of_what_was_not_touched_need_no_dvc(fake):
    """They see every touch all the same: an edit, a lost file, a lost object of the cache."""
    assert fake.run()[0] == 0
    assert fake.cli("plan", "demo")[0] == 0
    command = [sys.executable, "-X", "importtime", str(fake.code / "fake_prior3d.py")]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{fake.code}"}
    for words in (["plan", "demo"], ["status", "demo"]):
        done = subprocess.run([*command, *words], cwd=fake.project, env=env, text=True, capture_output=True, check=True)
        assert "unchanged" in done.stdout and "dvc.repo" not in done.stderr
    text = fake.folder() / "shouting" / "text.txt"
    before = text.read_text()
    text.write_text(before[::-1])
    assert "output shouting is modified" in fake.cli("plan", "demo")[1]
    text.write_text(before)
    assert "modified" not in fake.cli("plan", "demo")[1]
    text.unlink()
    assert "output shouting is" in fake.cli("status", "demo")[1]
    assert fake.run()[0] == 0
    (fake.folder() / "counting.cost.json").unlink()
    assert "output counting.cost.json is missing" in fake.cli("plan", "demo")[1]


def test_what_dvc_said_is_not_believed_in_another_form(fake):
    assert fake.run()[0] == 0
    kept = fake.project / ".prior3d" / "states" / "demo.json"
    for content in (b"", b"[]", b"\xff", b'{"format": 1, "signature": 3}'):
        assert fake.cli("plan", "demo")[0] == 0
        kept.write_bytes(content)
        assert "unchanged" in fake.cli("plan", "demo")[1]
    assert seen_states.FORMAT >= 1 and kept.read_bytes() != content


def test_status_knows_what_runs_now(fake):
    process = fake.command("--set", "counting.steps=600", "--set", "counting.pause_s=0.05")
    until = time.monotonic() + 90
    while not list((fake.folder() / ".work" / "counting").glob("*/state.json")):
        assert time.monotonic() < until
        time.sleep(0.05)
    code, out, _ = fake.cli("status", "demo")
    assert code == 0 and "runs now: counting" in out and "prior3d watch demo" in out and "interrupted" not in out
    assert next(line for line in out.splitlines() if line.startswith("  counting")).split()[1] == "running"
    assert " now " in fake.cli("ls")[1]
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    out = fake.cli("status", "demo")[1]
    assert "runs now" not in out and "interrupted, with a checkpoint: counting" in out


def test_status_names_a_stage_that_has_only_just_begun(fake, monkeypatch):
    assert fake.run("--stop-after", "counting")[0] == 0
    monkeypatch.setattr("flows.commands.status.is_running", lambda run: True)
    out = fake.cli("status", "demo")[1]
    assert "runs now: shouting; from any side" in out
    assert next(line for line in out.splitlines() if line.startswith("  shouting")).split()[1] == "running"
