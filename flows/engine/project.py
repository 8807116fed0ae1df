"""The project that the current folder belongs to: found like git finds its repository."""

import contextlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from prior3d.errors import Prior3dError
from prior3d.files import write_whole

IGNORED_BY_DVC = "# prior3d: checkpoints and the local Prefect server\n.work\n.prior3d\n"


@dataclass(frozen=True)
class Project:
    """A folder with a DVC repository, runs under `data/runs`, and local state under `.prior3d`."""

    root: Path

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.root / "data" / "runs"

    @property
    def state(self) -> Path:
        """Local state that may be deleted at any time: the digests' cache, the Prefect server's home."""
        return self.root / ".prior3d"


def find_project(start: Path) -> Project:
    """The nearest project at or above a folder.

    Raises:
        Prior3dError: there is none; says how to make one.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / ".dvc").is_dir() and _is_project(folder):
            return Project(folder)
    raise Prior3dError(f"{start} is in no prior3d project; make one here with: prior3d init")


def _is_project(folder: Path) -> bool:
    if (folder / ".prior3d").is_dir() or (folder / "data").is_dir():
        return True
    with contextlib.suppress(OSError, ValueError):
        settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        return bool(settings.get("project", {}).get("name") == "prior3d")
    return False


def init_project(folder: Path, with_git: bool = True) -> tuple[Project, bool]:
    """Make a folder a project; inside a git repository DVC's small files are tracked by git, else it works without.

    Args:
        folder: that may be there or not.
        with_git: False for a scratch project in a folder that git ignores.

    Returns:
        The project, and whether anything was made.
    """
    folder = folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = not (folder / ".dvc").is_dir()
        if made:
            from flows.engine.dvc_setup import init_repository  # start-up: DVC, for this command alone

            init_repository(folder, with_git)
        (folder / "data" / "runs").mkdir(parents=True, exist_ok=True)
        (folder / ".prior3d").mkdir(exist_ok=True)
        (folder / ".prior3d" / ".gitignore").write_text("*\n", encoding="utf-8")
        ignore = folder / ".dvcignore"
        content = ignore.read_bytes() if ignore.is_file() else b""
        if b".prior3d" not in content.splitlines():
            write_whole(ignore, content + IGNORED_BY_DVC.encode())
    except OSError as error:
        raise Prior3dError(
            f"cannot make a project in {folder}: {error.strerror or error}; choose another folder"
        ) from None
    return Project(folder), made
