"""A user whom the system does not know by name, as of `docker run --user 12345`: what libraries ask about such a one.

DVC asks for the user's name, and everything that keeps something for a user asks for a home.
"""

import os
import tempfile
from pathlib import Path

from prior3d.errors import Prior3dError

try:
    import pwd
except ImportError:  # Windows, where everybody has a name
    pwd = None  # type: ignore[assignment]

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # where Python looks for a name


def give_name_and_home(known: bool | None = None) -> None:
    """Put a name and a home into the environment of a user who has none. A home that one can write to stands.

    Args:
        known: whether the system knows the user by name; None looks it up.

    Raises:
        Prior3dError: the place of that home is somebody else's.
    """
    if _is_known() if known is None else known:
        return
    if not any(os.environ.get(name) for name in NAMES):
        os.environ["LOGNAME"] = f"user-{os.getuid()}"
    home = os.environ.get("HOME", "")
    if not home or not os.access(home, os.W_OK):
        os.environ["HOME"] = str(_own_folder())


def _is_known() -> bool:
    if pwd is None:
        return True
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def _own_folder() -> Path:
    """A folder among the temporary ones that only this user can read."""
    place = Path(tempfile.gettempdir()) / f"prior3d-home-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != os.getuid():
        raise Prior3dError(f"no home for user {os.getuid()}: {place} is another user's; set HOME to a folder of yours")
    return place
