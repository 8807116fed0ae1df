"""How a project gets its DVC repository, and what to say when DVC's own databases, outside the project, fail."""

import errno
import logging
import os
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dvc.scm
from dvc.dirs import site_cache_dir
from dvc.exceptions import CacheLinkError, DvcException, InitError
from dvc.repo import Repo
from pygit2 import GitError
from scmrepo.exceptions import SCMError

from prior3d.errors import Prior3dError

SMALLEST_ROOM_BYTES = 1_000_000
GIT_ERRORS = (GitError, SCMError, dvc.scm.SCMError, InitError)


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
    before, ignore = Path.cwd(), folder / ".dvcignore"
    had_ignore = ignore.exists()
    os.chdir(folder)
    try:
        Repo.init(str(folder), no_scm=in_git is None, subdir=in_git is not None and in_git != folder).close()
    except BaseException as error:
        shutil.rmtree(folder / ".dvc", ignore_errors=True)  # half of one would count as a whole one
        if not had_ignore:
            ignore.unlink(missing_ok=True)
        if in_git is not None and isinstance(error, GIT_ERRORS):
            raise Prior3dError(_git_problem(in_git, error)) from None
        if isinstance(error, sqlite3.Error):
            raise Prior3dError(database_problem(error)) from None
        if isinstance(error, DvcException):
            raise Prior3dError(f"DVC could not set up {folder}: {' '.join(str(error).split())}") from None
        raise
    finally:
        os.chdir(before)


def _git_problem(repository: Path, error: Exception) -> str:
    """One line about a git repository that cannot be opened, with git's own remedy for one of another owner."""
    said = " ".join(str(error).split()).partition(". Use `--no-scm`")[0]
    if "owned by" in said or "ownership" in said:
        return (
            f"the git repository {repository} belongs to another user, so git refuses it; if you trust it: "
            f"git config --global --add safe.directory {shlex.quote(str(repository))}"
        )
    return (
        f"the git repository {repository} cannot be opened ({said}); see: git -C {shlex.quote(str(repository))} status"
    )


def database_problem(error: sqlite3.Error) -> str:
    """One line about DVC's databases, which all projects of a machine share."""
    folder = site_cache_dir()
    moved = "the environment variable DVC_SITE_CACHE_DIR moves it"
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or "disk" in str(error):
        return f"the disk is full: {folder} (DVC's; {moved}); make room there and run the command again"
    return f"DVC's database in {folder} cannot be used ({error}); delete that folder, it is made again ({moved})"


def dvc_problem(error: BaseException, root: Path) -> str:
    """One line about an error of DVC: a full disk by its name, else the error and its causes.

    DVC wraps, and the innermost cause says what happened (a broken file). But before it puts files in place it tries
    its kinds of links, and drops the reason why none of them works.
    """
    causes = list(_causes(error))
    full = next((c for c in causes if isinstance(c, OSError) and c.errno in (errno.ENOSPC, errno.EDQUOT)), None)
    if full is not None or (isinstance(error, CacheLinkError) and _is_full(root)):
        where = getattr(full, "filename", None) or root
        return f"the disk is full: {where}; make room there and run the command again"
    words = dict.fromkeys(str(cause) for cause in causes)
    return f"DVC, in {root}: {'; '.join(' '.join(w.split()) for w in words if w)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_full(folder: Path) -> bool:
    """Whether a disk has no room for a file worth the name, or for no further file at all."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < SMALLEST_ROOM_BYTES or (disk.f_files > 0 and disk.f_favail == 0)
