"""Damaged files: a run's small files, and the objects of DVC's cache; noticed before they are used, in one line."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.campaign.project import FakeProject
from benchmarks.campaign.state import Campaign

SMALL, OBJECTS, ARTIFACTS = (
    "damaged files of a run: healed, or one line",
    "damaged objects of the cache: noticed before they are used",
    "damaged artifacts in the run's folder: noticed before they are used",
)
FILES = (
    *("method.yaml", "params.yaml", "code.yaml", "dvc.yaml", "local.yaml", "dvc.lock", ".gitignore"),
    *("history/0001.lock", "history/0001.json", "counting.cost.json", "counting/metrics.json", "losses/counting.json"),
    *("inputs/prompt.txt", "inputs/prior.json", "history", "losses", "inputs", ".work"),
)
STAGES = ("counting", "shouting", "joining")
FLIPS = {"first byte": 0.0, "middle byte": 0.5, "last byte": 1.0}  # by where in the file
KINDS = (*FLIPS, "cut", "empty", "longer", "lost")
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
    """Every small file in every way, for two commands each; then `run`: each ends well or with one line.

    A run that ends well has the results that it had, and nothing that is half.
    """
    whole, good = _whole(project)
    for index, (kind, file, more) in enumerate((k, f, m) for m in (0, 1) for k in CONTENTS for f in FILES):
        command = COMMANDS[(index + 3 * more) % len(COMMANDS)]
        key = f"{file}, {kind}, {command[0]}"
        if not is_time():
            return
        if campaign.done(SMALL, key):
            continue
        project.fresh(whole)
        _put(project.run_folder / file, CONTENTS[kind])
        first = project.wait(project.start(*command))
        then = project.wait(project.run())
        broken = next((done for done in (first, then) if not done.is_plain), None)
        wrong = "" if broken is None else f"exit {broken.code}: {broken.last}"
        if not wrong and then.code == 0 and not _are_there(project, good):
            wrong = "ends well with another result"
        campaign.add(SMALL, key, wrong)


def _are_there(project: FakeProject, good: dict[str, str]) -> bool:
    """Whether every output of the run is what it was."""
    found = project.results()
    return all(found.get(name) == md5 for name, md5 in good.items() if name.split("/")[0] in STAGES)


def _whole(project: FakeProject) -> tuple[Path, dict[str, str]]:
    """A project with a run that is finished, and its results."""
    whole = project.base / "whole"
    if whole.exists():
        project.fresh(whole)
    else:
        project.fresh()
        project.wait(project.run())
        shutil.copytree(project.root, whole, symlinks=True)
    return whole, project.results()


def _rot(path: Path, kind: str) -> None:
    """Damage a file; a flip keeps size and time, as on a disk that fails."""
    before, content = path.stat(), path.read_bytes()
    path.chmod(0o644)
    if kind in FLIPS:
        at = int(FLIPS[kind] * (len(content) - 1))
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        path.chmod(before.st_mode & 0o777)
    elif kind == "lost":
        path.unlink()
    else:
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "longer": content + b"x"}[kind])


def objects(project: FakeProject, campaign: Campaign, is_time: Callable[[], bool]) -> None:
    """Every object of the cache in every way; outputs are gone, and come back right or are made again.

    Then every file of the outputs in the run's own folder, of which DVC sees what changed size or time.
    """
    whole, good = _whole(project)
    cache = Path(".dvc") / "cache" / "files" / "md5"
    there = [p.relative_to(whole) for p in (whole / cache).rglob("*") if p.is_file()]
    mine = [p for p in there if p.parent.name + p.name in good.values() or not (project.template / p).exists()]
    commands = ("run", "other", "restore")
    trials = [(OBJECTS, p.as_posix(), kind, command) for p in mine for kind in KINDS for command in commands]
    run = project.run_folder.relative_to(project.root)
    own = [(run / name).as_posix() for name in good if name.split("/")[0] in (*STAGES, "losses")]
    trials += [(ARTIFACTS, name, kind, "run") for name in own for kind in KINDS if kind not in FLIPS]
    for promise, name, kind, command in sorted(trials, key=lambda trial: trial[1:3]):
        key = f"{name[-24:]}, {kind}, {command}"
        if not is_time():
            return
        if not campaign.done(promise, key):
            project.fresh(whole)
            _rot(project.root / name, kind)
            campaign.add(promise, key, _used(project, command, promise == OBJECTS, good))


def _used(project: FakeProject, command: str, gone: bool, good: dict[str, str]) -> str:
    """What is wrong after a command that needs what is damaged; empty if that was noticed."""
    if gone:
        for stage in STAGES:
            shutil.rmtree(project.run_folder / stage)
    other = command == "other"
    name = "another" if other else "demo"
    words = ("restore", "demo@1") if command == "restore" else ("run", *project.line, "--name", name, "--plain")
    done = project.wait(project.start(*words))
    if not done.is_plain:
        return f"exit {done.code}: {done.last}"
    found = project.results(name)
    same = all(found.get(file) == md5 for file, md5 in good.items() if file.split("/")[0] in STAGES)
    return "" if done.code == 2 or same else "used"
