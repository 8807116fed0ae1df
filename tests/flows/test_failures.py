"""What goes wrong, and what is left of it: crashes, kills, limits, two runs at once, full disks."""

import contextlib
import errno
import json
import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from fake_prior3d import fake_method

from flows import methods


def wait_for(condition, seconds=90.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def state_of(fake):
    return list((fake.folder() / ".work" / "counting").glob("*/state.json"))


def uninterrupted(fake):
    """The text of a run that nothing disturbed, computed in a run of its own."""
    code, _, _ = fake.run("--set", "counting.steps=60", name="whole")
    assert code == 0
    return fake.text("counting", "whole")


SLOW = ("--set", "counting.steps=60", "--set", "counting.pause_s=0.05")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_and_run_again_goes_on_and_ends_the_same(fake, number):
    process = fake.command(*SLOW)
    wait_for(lambda: any(json.loads(f.read_text())["step"] >= 5 for f in state_of(fake)))
    os.killpg(process.pid, number)
    out = process.communicate(timeout=30)[0]
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "to resume: prior3d run counting-method --prompt 'one two' --name demo" in out
        assert "counting  interrupted" in out and "failed" not in out
    assert not (fake.folder() / "counting").exists()  # nothing half-written
    code, out, err = fake.run(*SLOW)
    assert (code, err) == (0, "")
    resumed = next(line for line in out.splitlines() if "resumed at" in line)
    assert int(resumed.split()[-1]) >= 5
    assert fake.text("counting") == uninterrupted(fake)
    assert losses(fake) == losses(fake, "whole") and len(losses(fake)) == 60
    if number != signal.SIGKILL:
        assert json.loads((fake.folder() / "counting.cost.json").read_text())["seconds"] > 60 * 0.05


def losses(fake, name="demo"):
    return json.loads((fake.folder(name) / "losses" / "counting.json").read_text())


def test_a_damaged_note_of_time_and_losses_is_named(fake):
    process = fake.command(*SLOW)
    wait_for(lambda: any(json.loads(f.read_text())["step"] >= 5 for f in state_of(fake)))
    process.terminate()
    process.communicate(timeout=30)
    (noted,) = (fake.folder() / ".work" / "counting").glob("*/elapsed.json")
    for content in (b"", b"[]", b"\xff", b'{"seconds": 1}'):
        noted.write_bytes(content)
        code, _, err = fake.run(*SLOW)
        assert code == 2 and "elapsed.json is damaged" in err and f"delete the folder {noted.parent.name}" in err
    shutil.rmtree(noted.parent)
    assert fake.run(*SLOW)[0] == 0 and losses(fake)[0]["step"] == 1


def test_no_stage_outlives_a_killed_run(fake):
    process = fake.command("--set", "counting.steps=6000", "--set", "counting.pause_s=0.05")
    wait_for(lambda: state_of(fake))
    os.kill(process.pid, signal.SIGKILL)  # the command alone, not its group
    process.wait()
    file = state_of(fake)[0]

    def still():
        before = file.read_text()
        time.sleep(0.3)
        return file.read_text() == before

    wait_for(still)


def test_two_runs_at_once(fake):
    process = fake.command(*SLOW)
    wait_for(lambda: state_of(fake))
    code, _, err = fake.run()
    assert code == 2
    assert err == "error: run demo: another prior3d process works on it; wait for it, or choose another --name\n"
    assert fake.run("--seed", "1", name="beside")[0] == 0  # another run is free to go
    assert process.wait(timeout=30) == 0


def test_crash_says_why_and_how_to_go_on(fake):
    code, out, err = fake.run("--set", "counting.fail=crash")
    assert code == 2
    assert "trying again" in out
    assert "stage counting failed with exit code 1" in err and "ValueError: something unforeseen" in err
    assert err.splitlines()[-1].startswith("to resume: prior3d run counting-method")
    assert not (fake.folder() / "counting").exists() and not (fake.folder() / "history").exists()


def test_one_crash_is_retried_from_the_checkpoint(fake):
    code, out, _ = fake.run("--set", "counting.fail=crash once")
    assert code == 0 and "crashed, trying again" in out and "resumed at 2" in out


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("user", "error: stage counting: the count came to nothing; raise counting.steps"),
        ("disk", "error: stage counting: the disk is full: "),
        ("nothing", "text.txt holds no text"),
    ],
)
def test_errors_for_people_are_one_line_and_not_retried(fake, how, said):
    code, out, err = fake.run("--set", f"counting.fail={how}")
    assert code == 2 and "trying again" not in out
    assert said in err.splitlines()[0] and len(err.splitlines()) == 2
    assert not (fake.folder() / "counting").exists()


def test_killed_stage_is_named(fake):
    _, _, err = fake.run("--set", "counting.fail=killed")
    assert "stage counting was killed (signal 9: perhaps out of memory)" in err


def test_time_limit_stops_the_stage_and_keeps_its_checkpoint(fake, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "counting-method", fake_method(time_limit_s=1.0))
    started = time.monotonic()
    code, _, err = fake.run("--set", "counting.steps=6000", "--set", "counting.pause_s=0.05")
    assert code == 2 and "stopped at its time limit of 1 s; its checkpoint is kept" in err
    assert time.monotonic() - started < 8
    assert state_of(fake)


def test_failed_run_leaves_the_earlier_result(fake):
    fake.run()
    before = fake.text("counting")
    assert fake.run("--set", "counting.fail=user")[0] == 2
    assert fake.text("counting") == before
    assert fake.outcomes(fake.run()[1]) == {}  # back to what was made: nothing to do


def test_files_edited_while_a_stage_runs_are_not_recorded(fake):
    process = fake.command(*SLOW)
    wait_for(lambda: state_of(fake))
    with (fake.folder() / "params.yaml").open("a") as stream:
        stream.write("# edited\n")
    out = process.communicate(timeout=30)[0]
    assert process.returncode == 2 and "was edited while it ran" in out


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the disk is read-only")]
)
def test_disk_refuses_a_new_run(fake, monkeypatch, number, said):
    from flows.engine import declaration

    written = []

    def refuse(path, text):
        written.append(path)
        if len(written) > 2:
            raise OSError(number, os.strerror(number), str(path))
        path.write_text(text)

    monkeypatch.setattr(declaration, "write_whole", refuse)
    code, _, err = fake.run()
    assert code == 2 and err.startswith(f"error: {said}: ") and len(err.splitlines()) == 1
    assert not fake.folder().exists()


def test_runs_folder_that_cannot_be_made(fake):
    runs = fake.project / "data" / "runs"
    runs.rmdir()
    runs.write_text("a file")
    code, _, err = fake.run()
    assert code == 2 and "a file lies where a folder is needed" in err and len(err.splitlines()) == 1


def server_of(process):
    """The process that starts the stages of a command, as soon as it is there."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for child in children.read_text().split():
        with contextlib.suppress(OSError):
            if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    return None


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the process in /proc")
@pytest.mark.parametrize("when", ["at once", "in a stage"])
def test_run_whose_fork_server_is_killed_goes_on(fake, when):
    process = fake.command(*SLOW)
    wait_for(lambda: server_of(process) and (when == "at once" or state_of(fake)))
    os.kill(server_of(process), signal.SIGKILL)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0, out
    assert "warning: the process that starts stages was killed (signal 9: perhaps out of memory); another one" in out
    assert fake.text("counting") == uninterrupted(fake)


def test_temporary_files_of_killed_processes_go(fake):
    assert fake.run()[0] == 0
    dead = 2**22 + 1  # above the largest process number
    cache = fake.project / ".dvc" / "cache"
    names = ("a.yaml", "history/0001.json", "history/code/x.json", "losses/counting.json")
    left = [(fake.folder() / name).with_name(f".{name.rpartition('/')[2]}.{dead}.tmp") for name in names]
    left += [cache / "files" / "md5" / ".JDwM4-wrRg5wrvkajvDO7A.tmp", next(cache.glob("runs/*/*")) / ".abc.tmp"]
    for path in left:
        path.write_text("half")
    (fake.folder() / "inputs" / ".folder.tmp").mkdir()
    alive = fake.folder() / f".code.yaml.{os.getpid()}.tmp"
    alive.write_text("half")
    assert fake.run("--seed", "1")[0] == 0 and fake.cli("gc", "--yes")[0] == 0
    assert [p for p in fake.project.rglob("*.tmp")] == [alive]
    assert fake.run()[0] == 0 and ".*.tmp" in (fake.folder() / ".gitignore").read_text()


FULL, LOCKED = "database or disk is full", "attempt to write a readonly database"


@pytest.mark.parametrize(("why", "said"), [(FULL, "the disk is full: "), (LOCKED, "DVC's database in ")])
def test_a_disk_that_holds_the_databases_of_dvc(fake, monkeypatch, why, said):
    """They lie outside the project, and SQLite's errors are of no kind that the disk's are."""
    site = fake.project.parent / "site"
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(site))

    def fails(*_, **__):
        raise sqlite3.OperationalError(why)

    with monkeypatch.context() as patched:
        patched.setattr("dvc_data.hashfile.state.State.__init__", fails)
        code, _, err = fake.run()
        assert code == 2 and f"{said}{site}" in err and "DVC_SITE_CACHE_DIR moves it" in err
        assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "to resume"]
    (fake.project / "below").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr("dvc.repo.Repo.init", lambda *_, **__: (Path(".dvc").mkdir(), fails()))
        code, _, err = fake.cli("init", "below")
        assert code == 2 and f"{said}{site}" in err and len(err.splitlines()) == 1
    assert not (fake.project / "below" / ".dvc").exists()


def test_an_init_that_was_killed_is_completed(fake):
    for name in (".dvcignore", ".prior3d/.gitignore"):
        (fake.project / name).unlink()
    (fake.project / ".dvcignore").write_bytes(b"\xff\xfe\n")
    assert fake.cli("init")[0] == 0
    assert (fake.project / ".dvcignore").read_bytes().startswith(b"\xff\xfe\n# prior3d")
    assert (fake.project / ".prior3d" / ".gitignore").is_file()
