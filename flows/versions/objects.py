"""Files of any version, read out of DVC's cache by their md5, without importing DVC (which takes a second)."""

import configparser
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from platformdirs import site_config_dir, user_config_dir

from flows.engine.run_files import MD5, File, derived

DIRECTORY = ".dir"


class Listed(TypedDict):
    """A file in the list of a folder."""

    relpath: str
    md5: str


@dataclass(frozen=True)
class Objects:
    """DVC's cache of objects of one project."""

    root: Path

    @cached_property
    def folder(self) -> Path:
        """Where the objects lie: `.dvc/cache`, unless DVC's configuration says otherwise."""
        own = self.root / ".dvc"
        place = own / "cache"
        outside = (_level("DVC_SYSTEM_CONFIG_DIR", site_config_dir), _level("DVC_GLOBAL_CONFIG_DIR", user_config_dir))
        for file in (*outside, own / "config", own / "config.local"):
            found = _cache_dir(file)
            if found:
                place = file.parent / Path(found).expanduser()
        return Path(os.path.normpath(place)) / "files" / "md5"

    def path(self, md5: str) -> Path:
        """Where an object lies if it is there."""
        return self.folder / md5[:2] / md5[2:]

    def listing(self, md5: str) -> dict[str, str] | None:
        """The files of a folder (`md5` ends in `.dir`): relative path -> md5; None if it is not in the cache."""
        entries = derived(self.path(md5), list[Listed])
        if entries is None or not all(MD5.fullmatch(e["md5"]) for e in entries):
            return None
        return {e["relpath"]: e["md5"] for e in entries}

    def files(self, outs: Iterable[File]) -> dict[str, str] | None:
        """Every file of a stage's outputs, by its path in the run's folder; None if a folder's list is gone."""
        found = {}
        for out in outs:
            if not str(out.get("md5", "")).endswith(DIRECTORY):
                found[out["path"]] = str(out.get("md5", ""))
                continue
            listed = self.listing(out["md5"])
            if listed is None:
                return None
            found |= {f"{out['path']}/{name}": md5 for name, md5 in listed.items()}
        return found

    def has(self, md5: str) -> bool:
        """Whether an object is in the cache."""
        return self.path(md5).is_file()


def _level(variable: str, folder: Callable[[str, str], str]) -> Path:
    """A configuration file outside projects, where DVC looks for it: of the system, or of the user."""
    return Path(os.environ.get(variable) or folder("dvc", "iterative")).expanduser() / "config"


def _cache_dir(file: Path) -> str:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file, encoding="utf-8")
    except configparser.Error:
        return ""  # DVC itself will complain about it
    return parser.get("cache", "dir", fallback="").strip("\"'")
