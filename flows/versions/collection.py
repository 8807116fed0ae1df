"""Objects in DVC's cache that no version of any run needs, and their removal.

Needed is every md5 that is named by a lock of a run, one of its versions, the project's own pipeline or a `.dvc` file,
in the working tree or in a git commit. Locks are searched as text, so that a damaged one still protects what it names.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.engine.dvc_store import DvcStore
from flows.engine.project import Project
from flows.engine.run_files import Damaged, LockEntry, read_form
from flows.terminal import size_text
from flows.versions.objects import DIRECTORY, Objects
from prior3d.errors import Prior3dError

MD5 = re.compile(r"\bmd5: ?'?([0-9a-f]{32}(?:\.dir)?)\b")
LOCK = re.compile(r"(^|/)(dvc\.lock|history/\d+\.lock|[^/]*\.dvc)$")


@dataclass(frozen=True)
class Garbage:
    """Objects that nothing needs.

    Attributes:
        objects: path -> bytes.
        kept: number of objects that stay, and their bytes.
        n_locks: how many locks were asked.
    """

    objects: dict[Path, int] = field(default_factory=dict)
    kept: tuple[int, int] = (0, 0)
    n_locks: int = 0

    def text(self) -> str:
        """How much would go and how much would stay."""
        return f"{_amount(len(self.objects), sum(self.objects.values()))} are needed by no version; {self.kept_text()}"

    def kept_text(self) -> str:
        """How much stays."""
        return f"{_amount(*self.kept)} are needed by {self.n_locks:,} lock{'s' * (self.n_locks != 1)}"


def find_garbage(project: Project, keep: int | None = None, forget_commits: bool = False) -> Garbage:
    """Look for objects that nothing needs; removes nothing.

    Args:
        project: the project.
        keep: only so many of a run's newest versions count, besides the present one; None for all.
        forget_commits: what only git commits name does not count.

    Raises:
        Prior3dError: DVC's cache lies outside the project, where others may use it.
    """
    objects = Objects(project.root)
    if not objects.folder.resolve().is_relative_to(project.root.resolve()):
        raise Prior3dError(
            f"DVC's cache is {objects.folder}, outside this project: others may keep their objects there; "
            "use `dvc gc` with --projects"
        )
    texts = [p.read_bytes().decode("utf-8", "replace") for p in _locks(project, keep) if p.is_file()]
    if not forget_commits:
        texts += _committed_locks(project.root)
    needed = _needed(objects, texts)
    found, kept, kept_bytes = {}, 0, 0
    for folder in sorted(objects.folder.glob("[0-9a-f][0-9a-f]")):
        for path in [] if folder.is_symlink() else sorted(folder.iterdir()):
            size = path.stat().st_size
            if folder.name + path.name in needed:
                kept, kept_bytes = kept + 1, kept_bytes + size
            else:
                found[path] = size
    for path in (*objects.folder.glob(".*.tmp"), *objects.folder.parents[1].glob("runs/*/*/.*.tmp")):
        found[path] = path.stat().st_size  # a kill while DVC wrote; nobody writes while its lock is held
    return Garbage(found, (kept, kept_bytes), len(texts))


def collect(project: Project, keep: int | None = None, forget_commits: bool = False) -> str:
    """Remove what nothing needs, while nothing can be committed; returns what was done, for people."""
    with DvcStore(project.root).alone():
        garbage = find_garbage(project, keep, forget_commits)
        for path in garbage.objects:
            path.unlink(missing_ok=True)
        _forget_results(project)
    return f"removed {_amount(len(garbage.objects), sum(garbage.objects.values()))}; {garbage.kept_text()}"


def _needed(objects: Objects, texts: list[str]) -> set[str]:
    needed = {md5 for text in texts for md5 in MD5.findall(text)}
    for md5 in [m for m in needed if m.endswith(DIRECTORY)]:
        needed |= set((objects.listing(md5) or {}).values())
    return needed


def _locks(project: Project, keep: int | None) -> Iterator[Path]:
    """Every lock in the working tree."""
    for run in sorted(project.runs.glob("*/")):
        yield from run.glob("dvc.lock")
        versions = sorted((run / "history").glob("[0-9]*.lock"))
        yield from versions if keep is None else versions[-keep:]
    for folder, below, names in os.walk(project.root):
        here = Path(folder)
        below[:] = [b for b in below if not b.startswith(".") and here / b != project.runs]
        if "pyvenv.cfg" in names:
            below[:] = []
        yield from (here / n for n in names if n == "dvc.lock" or n.endswith(".dvc"))


def _committed_locks(root: Path) -> list[str]:
    """The text of every lock in every git commit that a branch, tag or stash reaches.

    Raises:
        Prior3dError: there is a repository, and git does not show it.
    """
    git = ["git", "-C", str(root)]
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return []
    try:
        listed = subprocess.run([*git, "rev-list", "--all", "--objects"], capture_output=True, check=False)
    except OSError as error:
        said = f"git cannot be started ({error.strerror})"
        raise Prior3dError(f"gc: {said}, so what its commits need is unknown; install git") from None
    if listed.returncode:
        said = " ".join(listed.stderr.decode("utf-8", "replace").split())[:240]
        raise Prior3dError(f"gc: git does not show the commits of {root}, which may need files; it says: {said}")
    pairs = (line.partition(" ") for line in listed.stdout.decode("utf-8", "replace").splitlines())
    blobs = sorted({blob for blob, _, path in pairs if LOCK.search(path)})
    if not blobs:
        return []
    asked = "\n".join(blobs).encode() + b"\n"
    done = subprocess.run([*git, "cat-file", "--batch"], input=asked, capture_output=True, check=True)
    return [done.stdout.decode("utf-8", "replace")]


def _forget_results(project: Project) -> None:
    """Remove entries of DVC's cache of results whose outputs are gone."""
    objects = Objects(project.root)
    for entry in objects.folder.parents[1].glob("runs/*/*/*"):
        try:
            outs = read_form(entry, LockEntry).get("outs") or []
        except Damaged:
            outs = []
        files = objects.files(outs)
        if files is None or not files or not all(objects.has(md5) for md5 in files.values()):
            entry.unlink(missing_ok=True)
    for folder in objects.folder.parents[1].glob("runs/*/*/"):
        if not any(folder.iterdir()):
            folder.rmdir()  # DVC expects an entry in every folder of these


def _amount(count: int, size: int) -> str:
    return f"{count:,} object{'s' * (count != 1)} ({size_text(size)})"
