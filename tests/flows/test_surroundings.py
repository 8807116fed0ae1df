"""What surrounds a run: interrupts, a server that goes, users and repositories of others, caches, disks, terminals."""

import contextlib
import errno
import getpass
import io
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from flows import nameless_user
from flows.cli import main
from flows.engine import with_prefect
from flows.engine.project import Project, init_project
from flows.engine.server import Server, server_problem
from flows.request import check_text
from prior3d.errors import Prior3dError

DEAF = ("--set", "counting.steps=3", "--set", "counting.pause_s=300")  # its sleep hears no SIGTERM


def wait_for(condition, seconds=90.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def state_of(fake):
    return list((fake.folder() / ".work" / "counting").glob("*/state.json"))


def stage_processes(fake):
    """The processes that work in the run's folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):  # another's, or gone
            found += [place] if place.readlink() == fake.folder() else []
    return found


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)])
def test_a_second_interrupt_ends_a_stage_that_hears_none(fake, numbers):
    process = fake.command(*DEAF)
    wait_for(lambda: stage_processes(fake) and list((fake.folder() / ".work" / "counting").glob("*")))
    time.sleep(1.0)
    began = time.monotonic()
    for number in numbers:
        os.kill(process.pid, number)
        time.sleep(2.0)
    out = process.communicate(timeout=15)[0]
    assert process.returncode == 130 and time.monotonic() - began < 15
    assert "interrupted again: the stages that run are ended at once" in out and "Traceback" not in out
    assert not stage_processes(fake)
    with (fake.folder() / ".work" / "run.lock").open("a"):
        assert fake.run("--set", "counting.steps=3", "--set", "counting.pause_s=0")[0] == 0  # nobody holds the run


def test_a_signal_to_a_process_and_its_group_is_one_interrupt(fake):
    process = fake.command("--set", "counting.steps=600", "--set", "counting.pause_s=0.05")
    wait_for(lambda: any(json.loads(f.read_text())["step"] >= 5 for f in state_of(fake)))
    os.kill(process.pid, signal.SIGTERM)  # as `timeout` does
    os.killpg(process.pid, signal.SIGTERM)
    out = process.communicate(timeout=30)[0]
    assert process.returncode == 130 and "at once" not in out
    assert state_of(fake)


@pytest.mark.slow
def test_a_server_that_is_killed_stops_no_run(fake, monkeypatch):
    """The run goes on, makes its other stages, and says so in one line."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    from flows.engine.server import find_or_start, stop_local_server

    server = find_or_start(Project(fake.project))
    noted = json.loads((fake.project / ".prior3d" / "prefect" / "server.json").read_text())
    try:
        wait_for(server.healthy, 180)
        env = {**os.environ, "PYTHONPATH": f"{Path(__file__).resolve().parents[2]}{os.pathsep}{fake.code}"}
        words = [sys.executable, str(fake.code / "fake_prior3d.py"), "run", "counting-method", "--prompt", "x"]
        words += ["--name", "demo", "--prior", str(fake.prior), "--set", "counting.steps=100"]
        words += ["--set", "counting.pause_s=0.4"]
        run = subprocess.Popen(
            words, cwd=fake.project, env=env, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        wait_for(lambda: any(json.loads(f.read_text())["step"] >= 40 for f in state_of(fake)), 120)
        os.killpg(noted["pid"], signal.SIGKILL)
        out, err = run.communicate(timeout=150)
        assert run.returncode == 0 and "done, version 1" in out
        assert len(err.splitlines()) == 1 and "is gone: this run goes on without it" in err
    finally:
        stop_local_server(Project(fake.project))


LOG = "Traceback (most recent call last):\nalembic.util.exc.CommandError: Can't locate revision 'f00d'\n\nERROR: x\n"


@pytest.mark.parametrize(("log", "said"), [(LOG, "delete "), ("OSError: address in use\n", "its log is "), ("", "")])
def test_a_server_that_ended_says_why(tmp_path, log, said, monkeypatch):
    home = tmp_path / ".prior3d" / "prefect"
    home.mkdir(parents=True)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    noted = {"pid": ended.pid, "url": "http://127.0.0.1:9/api", "started": time.time()}
    (home / "server.json").write_text(json.dumps(noted))
    (home / "server.log").write_text(log)
    problem = server_problem(Project(tmp_path))
    assert said in problem and bool(problem) == bool(log)
    if not log:
        return
    assert problem.startswith("Prefect's server ended (") and str(home) in problem
    assert not with_prefect._wait_until_healthy(
        Project(tmp_path), Server("http://127.0.0.1:9/api", own=True), lambda: False
    )
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "nowhere"))
    from flows.commands.doctor import _server

    assert _server(Project(tmp_path)).fix.startswith(said.strip())


def test_a_user_without_a_name_gets_one_and_a_home(monkeypatch, tmp_path):
    def unknown(_):
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in (*nameless_user.NAMES, "HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    nameless_user.give_name_and_home()
    assert getpass.getuser() == f"user-{os.getuid()}"
    home = tmp_path / f"prior3d-home-{os.getuid()}"
    assert Path.home() == home and home.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("HOME", str(tmp_path))
    nameless_user.give_name_and_home()
    assert Path.home() == tmp_path
    home.rmdir()
    home.symlink_to(tmp_path)
    monkeypatch.delenv("HOME")
    with pytest.raises(Prior3dError, match="set HOME to a folder of yours"):
        nameless_user.give_name_and_home()


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_repository_that_git_refuses_leaves_nothing_half_made(tmp_path):
    broken = tmp_path / "broken"
    (broken / ".git").mkdir(parents=True)
    with pytest.raises(Prior3dError, match="cannot be opened .*see: git -C"):
        init_project(broken)
    assert [p.name for p in broken.iterdir()] == [".git"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_repository_of_another_owner_names_gits_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("HOME", str(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["git", "init", "-q", str(other)], check=True)
    for place in (other, *other.rglob("*")):
        os.chown(place, 4321, 4321)
    with pytest.raises(Prior3dError, match=rf"git config --global --add safe.directory {other}"):
        init_project(other)
    assert [p.name for p in other.iterdir()] == [".git"]
    assert init_project(other, with_git=False)[1]


def test_gc_removes_nothing_that_a_repository_may_need(fake):
    assert fake.run()[0] == 0
    (fake.project / ".git").mkdir()
    code, _, err = fake.cli("gc", "--yes")
    assert code == 2 and "git does not show the commits" in err


@pytest.mark.parametrize("variable", ["DVC_SYSTEM_CONFIG_DIR", "DVC_GLOBAL_CONFIG_DIR", "XDG_CONFIG_DIRS"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_cache_that_the_system_names_is_looked_into(fake, tmp_path, monkeypatch, variable, relative):
    folder = tmp_path / "etc" / ("dvc" if variable == "XDG_CONFIG_DIRS" else "")
    folder.mkdir(parents=True)
    (folder / "config").write_text(f"[cache]\n    dir = {'shared' if relative else folder / 'shared'}\n")
    monkeypatch.setenv(variable, str(tmp_path / "etc"))
    assert fake.run()[0] == 0 and fake.run("--seed", "1")[0] == 0
    assert (
        list((folder / "shared" / "files" / "md5").rglob("*"))
        and not (fake.project / ".dvc" / "cache" / "files").exists()
    )
    code, out, err = fake.cli("restore", "demo@1")
    assert (code, err) == (0, "") and "is as it was in demo@1" in out


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("\U0001f468\u200d\U0001f467 waving", "\U0001f468\u200d\U0001f467 waving"),
        ("\u0642\u0627\u0631\u0686\u200c\u0647\u0627", "\u0642\u0627\u0631\u0686\u200c\u0647\u0627"),
        ("a red mush\u00adroom", "a red mushroom"),
        ("\ufeffa red\u200b mushroom\u200f", "a red mushroom"),
        ("a \U0001faea face", "a \U0001faea face"),  # of a Unicode that Python 3.11 does not know
    ],
)  # fmt: skip
def test_letters_that_nobody_sees_are_no_mistake(text, kept):
    assert check_text("--prompt", text, 200) == kept


@pytest.mark.parametrize("bad", ["\u202e", "\x07", "\ud800", "\u2066"])
def test_what_steers_a_terminal_is_refused(bad):
    with pytest.raises(Prior3dError, match="which cannot be printed; leave it out"):
        check_text("--prompt", f"a{bad}b", 200)
    with pytest.raises(Prior3dError, match="is empty"):
        check_text("--prompt", "\ufeff\u00ad", 200)


def test_a_full_disk_is_named_though_dvc_blames_its_links(tmp_path, monkeypatch):
    from dvc.exceptions import CacheLinkError, DvcException

    from flows.engine.dvc_setup import dvc_problem

    links = CacheLinkError(["a"])
    assert dvc_problem(links, tmp_path).startswith(f"DVC, in {tmp_path}: No possible cache link types")
    inner = DvcException("failed")
    inner.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/x/a")
    assert dvc_problem(inner, tmp_path) == "the disk is full: /x/a; make room there and run the command again"
    for bytes_left, files_left in ((0, 100), (10**9, 0)):
        full = types.SimpleNamespace(f_bavail=bytes_left, f_frsize=1, f_files=100, f_favail=files_left)
        monkeypatch.setattr(os, "statvfs", lambda _, full=full: full)
        assert dvc_problem(links, tmp_path).startswith(f"the disk is full: {tmp_path};")
        assert "disk is full" not in dvc_problem(DvcException("something else"), tmp_path)


def test_a_terminal_shows_the_codes_of_letters_that_it_lacks(fake, monkeypatch):
    assert fake.run(prompt="\u043a\u0440\u0430\u0441\u043d\u044b\u0439 \u0448\u0430\u0440")[0] == 0
    shown = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", shown)
    assert main(["ls"]) == 0 and main(["status", "demo"]) == 0
    shown.write("\u0448\u0430\u0440")  # a library's own line
    shown.flush()
    assert rb"\u0448\u0430\u0440" in shown.buffer.getvalue()
