"""Damaged files: a run's small files, and the objects of DVC's cache; noticed before they are used, in one line."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.campaign.project import FakeProject
from benchmarks.campaign.state import Campaign

SMALL, OBJECTS, ARTIFACTS = (
    "damaged files of a run: healed, or one line",
    "damaged objects of the cache",
    "damaged artifacts",
)
FILES = (
    *("method.yaml", "params.yaml", "code.yaml", "dvc.yaml", "local.yaml", "dvc.lock", ".gitignore"),
    *("history/0001.lock", "history/0001.json", "counting.cost.json", "counting/metrics.json", "losses/counting.json"),
    *("inputs/prompt.txt", "inputs/prior.json", "history", "losses", "inputs", ".work"),
)
ALIASES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]\n" for n in range(10))
CONTENTS = {"binary": b"\xff\xfe\x81x", "zeroes": bytes(200), "empty": b"", "list": b"[1]", "number": b"3",
            "text": b"no: [such", "nested": b"[" * 3000 + b"]" * 3000, "folder": None,
            "aliases": ALIASES.encode(),
            "form": b'{"stages": {"counting": {"outs": 3}}, "method": 1, "inputs": {"prompt": []}}'}  # fmt: skip
COMMANDS = (("status", "demo"), ("ls",), ("log", "demo"), ("restore", "demo@1"), ("open", "demo", "--no-browser"),
            ("gallery", "--no-browser"))  # fmt: skip


def _put(path: Path, content: bytes | None) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if content is None else path.write_bytes(content)


def small_files(project: FakeProject, campaign: Campaign, is_time: Callable[[], bool]) -> None:
    """Every small file in every way; a command that reads it, then `run`, each ends well or with one line."""
    whole = _whole(project)
    for index, (file, kind) in enumerate((f, k) for f in FILES for k in CONTENTS):
        key = f"{file}, {kind}"
        if not is_time():
            return
        if campaign.done(SMALL, key):
            continue
        project.fresh(whole)
        _put(project.run_folder / file, CONTENTS[kind])
        first = project.wait(project.start(*COMMANDS[index % len(COMMANDS)]))
        then = project.wait(project.run())
        broken = next((done for done in (first, then) if not done.is_plain), None)
        campaign.add(SMALL, key, "" if broken is None else f"exit {broken.code}: {broken.last}")


def _whole(project: FakeProject) -> Path:
    whole = project.base / "whole"
    if not whole.exists():
        project.fresh()
        project.wait(project.run())
        shutil.copytree(project.root, whole, symlinks=True)
    return whole


def _rot(path: Path, kind: str) -> None:
    """Damage a file; a flip keeps size and time, as on a disk that fails."""
    before, content = path.stat(), path.read_bytes()
    path.chmod(0o644)
    if kind == "flipped":
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        path.chmod(before.st_mode & 0o777)
    elif kind == "lost":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2])


def objects(project: FakeProject, campaign: Campaign, is_time: Callable[[], bool]) -> None:
    """Every object of the cache flipped, cut and lost; outputs are gone, and come back right or are made again."""
    whole = _whole(project)
    project.fresh(whole)
    good, cache = project.results(), Path(".dvc") / "cache" / "files" / "md5"
    names = sorted(p.relative_to(whole).as_posix() for p in (whole / cache).rglob("*") if p.is_file())
    for name in names:
        for kind in ("flipped", "cut", "lost"):
            for command in ("run", "restore"):
                key = f"{name[-12:]}, {kind}, {command}"
                if not is_time():
                    return
                if not campaign.done(OBJECTS, key):
                    campaign.add(OBJECTS, key, _object(project, whole, name, kind, command, good))


def _object(project: FakeProject, whole: Path, name: str, kind: str, command: str, good: dict[str, str]) -> str:
    project.fresh(whole)
    _rot(project.root / name, kind)
    for stage in ("counting", "shouting", "joining"):
        shutil.rmtree(project.run_folder / stage)
    done = project.wait(project.run() if command == "run" else project.start("restore", "demo@1"))
    if not done.is_plain:
        return f"exit {done.code}: {done.last}"
    return "used" if done.code == 0 and project.results() != good else ""
