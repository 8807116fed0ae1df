"""`history/SHA256SUMS` of a run: a digest of each version's lock, of its record, and of each list of functions.

The file has the form that `sha256sum --check` reads. A digest is noted when a file is written, and never taken from a
file that is there already: what was damaged before stays found.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from prior3d.files import write_whole

NAME = "SHA256SUMS"
LINE = re.compile(r"^([0-9a-f]{64})  (\S.*)$", re.M)


def sums_file(history: Path) -> str:
    """The file as it is, damaged letters included; empty without one."""
    place = history / NAME
    return place.read_bytes().decode("utf-8", "replace") if place.is_file() else ""


def read_sums(history: Path) -> dict[str, str]:
    """File -> SHA-256, of the lines that can be read."""
    return {name: digest for digest, name in LINE.findall(sums_file(history))}


def sums_text(sums: Mapping[str, str]) -> str:
    """The content of the file."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def note_sums(history: Path, contents: Mapping[str, bytes]) -> None:
    """Add digests of files that are being written, by their paths in `history`."""
    known = read_sums(history)
    sums = known | {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if sums != known:
        write_whole(history / NAME, sums_text(sums))
