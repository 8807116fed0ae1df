"""What surrounds a run: the revision of the project, and the versions of its packages."""

import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TypedDict


class GitState(TypedDict, total=False):
    """A revision, and whether tracked files differed from it."""

    revision: str
    dirty: bool


def git_state(root: Path) -> GitState:
    """The revision that is checked out in a project, and whether tracked files differ from it; empty without git."""
    revision = _git(root, "rev-parse", "HEAD")
    if revision is None:
        return {}
    return {
        "revision": revision.strip(),
        "dirty": bool((_git(root, "status", "--porcelain", "--untracked-files=no") or "").strip()),
    }


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


def package_versions() -> dict[str, str]:
    """The version of prior3d and of each package that it names as a dependency."""
    try:
        required = metadata.requires("prior3d") or []
    except metadata.PackageNotFoundError:  # run from a bare checkout
        return {}
    found = {}
    for name in ["prior3d", *(re.split(r"[^\w.-]", r)[0] for r in required if "extra" not in r)]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # of another platform
    return found
