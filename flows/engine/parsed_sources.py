"""What parsing a source text gave, kept from one command to the next.

To parse the hundred modules behind a method takes 0.3 s, more than all else that a run with nothing to do computes.
Entries are found by the content of a text, so an old one is never wrong, only unused.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any, TypedDict

from flows.engine.run_files import derived
from prior3d.files import write_whole

MOST_TEXTS = 2000


class Kept(TypedDict):
    """The file."""

    parser: str
    texts: dict[str, Any]


class ParsedSources:
    """Results of one parser, in a file; they are gone when the parser or Python is another one.

    The file lies beside the parser's bytecode. Where Python may write none (PYTHONDONTWRITEBYTECODE, as in many
    container images, or a read-only installation), it lies in the user's cache folder.
    """

    def __init__(self, parser: str) -> None:
        """Read what is kept for a parser, given by the path of its module."""
        beside = Path(importlib.util.cache_from_source(parser)).with_suffix(".json")
        self._files = [*([] if sys.dont_write_bytecode else [beside]), _in_cache_folder(parser)]
        self._parser = hashlib.sha256(sys.version.encode() + Path(parser).read_bytes()).hexdigest()
        self._found: dict[str, Any] = {}
        for file in (beside, self._files[-1]):
            kept = derived(file, Kept)
            if kept is not None and kept["parser"] == self._parser:
                self._found |= kept["texts"]
        self._n_written = len(self._found)

    def get(self, key: str) -> Any:
        """What was found for a text; None if it is new."""
        return self._found.get(key)

    def add(self, key: str, value: Any) -> None:
        """Keep what was found for a text: plain values, as JSON has them."""
        self._found[key] = value

    def write(self) -> None:
        """Write the file if there is anything new, in the first place that can be written to."""
        if len(self._found) == self._n_written:
            return
        self._n_written = len(self._found)
        newest = dict(list(self._found.items())[-MOST_TEXTS:])
        for file in self._files:
            with contextlib.suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                write_whole(file, json.dumps({"parser": self._parser, "texts": newest}))
                return


def _in_cache_folder(parser: str) -> Path:
    """The file in the user's cache folder: one for each installation."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return folder / "prior3d" / f"parsed-{hashlib.sha256(str(Path(parser).resolve()).encode()).hexdigest()[:16]}.json"
