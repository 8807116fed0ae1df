"""How a project gets its DVC repository, and what to say when DVC's own databases, outside the project, fail."""

import logging
import os
import shutil
import sqlite3
from pathlib import Path

from dvc.dirs import site_cache_dir
from dvc.exceptions import DvcException
from dvc.repo import Repo

from prior3d.errors import Prior3dError


def init_repository(folder: Path, with_git: bool = True) -> None:
    """Make a folder a DVC repository.

    Args:
        folder: that there is.
        with_git: inside its git repository, if there is one; git must not ignore the folder then.

    Raises:
        Prior3dError, OSError: it could not be made; nothing of it is left.
    """
    logging.getLogger("dvc").setLevel(logging.ERROR)
    above = (folder, *folder.parents) if with_git else ()
    in_git = next((f for f in above if (f / ".git").exists()), None)
    before = Path.cwd()
    os.chdir(folder)
    try:
        Repo.init(str(folder), no_scm=in_git is None, subdir=in_git is not None and in_git != folder).close()
    except BaseException as error:
        shutil.rmtree(folder / ".dvc", ignore_errors=True)  # half of one would count as a whole one
        if isinstance(error, sqlite3.Error):
            raise Prior3dError(database_problem(error)) from None
        if isinstance(error, DvcException):
            raise Prior3dError(f"DVC could not set up {folder}: {' '.join(str(error).split())}") from None
        raise
    finally:
        os.chdir(before)


def database_problem(error: sqlite3.Error) -> str:
    """One line about DVC's databases, which all projects of a machine share."""
    folder = site_cache_dir()
    moved = "the environment variable DVC_SITE_CACHE_DIR moves it"
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or "disk" in str(error):
        return f"the disk is full: {folder} (DVC's; {moved}); make room there and run the command again"
    return f"DVC's database in {folder} cannot be used ({error}); delete that folder, it is made again ({moved})"
