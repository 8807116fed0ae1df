"""The files of a prior: whether they are whole, and a digest of what they hold."""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from flows.engine.run_files import derived, parse_json
from prior3d.diffusion.folders import check_safetensors, refuse_unsupported
from prior3d.errors import Prior3dError
from prior3d.files import write_whole
from prior3d.limits import read_bytes

READ = (".safetensors", ".json", ".txt", ".model")
WITHOUT_WEIGHTS = frozenset({"tokenizer", "tokenizer_2", "scheduler"})
SETTINGS = {"scheduler": "scheduler_config.json"}  # of the others: config.json
WORDS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))  # a tokenizer has one of these sets
NOT_USED = frozenset({"safety_checker", "feature_extractor", "image_processor", "image_encoder"})


def check_prior(folder: Path, known: Collection[str] = ()) -> None:
    """Check that a diffusers folder is whole: every component there, every safetensors file as long as it says.

    Args:
        folder: of a diffusers pipeline.
        known: weights that were found whole before, as `_key` names them; they are not opened.

    Raises:
        Prior3dError: names the first file that is missing, truncated or not readable.
    """
    index_file = folder / "model_index.json"
    try:
        index = parse_json(read_bytes(index_file), dict[str, Any])
    except (OSError, ValueError) as error:
        raise Prior3dError(f"prior {folder}: model_index.json cannot be read ({error}); copy the prior again") from None
    refuse_unsupported(folder)
    for component, kind in index.items():
        if (
            component.startswith("_")
            or component in NOT_USED
            or not isinstance(kind, list)
            or not kind
            or kind[0] is None
        ):
            continue
        place = folder / component
        if not place.is_dir():
            raise Prior3dError(f"prior {folder}: its component {component}/ is missing; copy the prior again")
        if component not in WITHOUT_WEIGHTS and not list(place.glob("*.safetensors")):
            raise Prior3dError(
                f"prior {folder}: {component}/ holds no .safetensors file (pickled weights are never read); "
                "fetch or convert the prior to safetensors"
            )
        _check_settings(folder, place)
    for file in sorted(folder.glob("*/*.safetensors")):
        if _key(file) not in known:
            check_safetensors(file)


def _check_settings(folder: Path, place: Path) -> None:
    """Look for a component's small files (raises Prior3dError): without them it fails late or knows no word."""
    if place.name.startswith("tokenizer"):
        if not any(all((place / name).is_file() for name in names) for names in WORDS):
            raise Prior3dError(
                f"prior {folder}: {place.name}/ holds neither tokenizer.json nor vocab.json with merges.txt; "
                "copy the prior again"
            )
        return
    file = place / SETTINGS.get(place.name, "config.json")
    try:
        parse_json(read_bytes(file), dict[str, Any])
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Prior3dError(
            f"prior {folder}: {place.name}/{file.name} cannot be read ({reason}); copy the prior again"
        ) from None


def content_digest(folder: Path, cache_file: Path) -> str:
    """A digest of all files that a prior is read from; each file's own is remembered by path, size and time."""
    known = remembered(cache_file)
    digests, changed = {}, False
    for file in prior_files(folder):
        key = _key(file)
        if key not in known:
            known[key] = file_digest(file)
            changed = True
        digests[file] = known[key]
    if changed and os.access(cache_file.parent.parent, os.W_OK):
        cache_file.parent.mkdir(exist_ok=True)
        write_whole(cache_file, json.dumps(known, indent=0))
    return joined_digest(folder, digests)


def prior_files(folder: Path) -> list[Path]:
    """The files that a prior is read from."""
    return sorted(p for p in folder.rglob("*") if p.suffix in READ and p.is_file() and not _said_of(folder, p))


def file_digest(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def joined_digest(folder: Path, digests: Mapping[Path, str]) -> str:
    """The digest of a prior out of those of its files."""
    together = hashlib.sha256()
    for file in sorted(digests):
        together.update(f"{file.relative_to(folder).as_posix()} {digests[file]}\n".encode())
    return together.hexdigest()[:32]


def remembered_digests(cache_file: Path, file: Path) -> set[str]:
    """The digests that were remembered of a file, whatever its size and time were."""
    return {digest for key, digest in remembered(cache_file).items() if key.startswith(f"{file}|")}


def _key(file: Path) -> str:
    """A file's path, size and time: while these stay, so does its content."""
    status = file.stat()
    return f"{file}|{status.st_size}|{status.st_mtime_ns}"


def _said_of(folder: Path, file: Path) -> bool:
    """Whether a file tells of a pipeline (its training, its scores) and is no part of it: nothing is stale for that."""
    index = folder / "model_index.json"
    return file.parent == folder and file != index and index.is_file()


def remembered(file: Path) -> dict[str, str]:
    """The digests of files that a cache file remembers, by path, size and time; empty without one."""
    return derived(file, dict[str, str]) or {}
