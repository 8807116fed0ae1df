"""Files that a person drops into studio: streamed to the disk, limited in size, opened before they are taken.

A name that a browser sends is never a path here. What is kept of it are its letters and digits, as the name of a run is
made of it.
"""

import hashlib
import importlib
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from anyio import to_thread

from flows.engine.project import Project
from flows.engine.run import slug
from flows.inputs import MESHES, PICTURES, SPLAT_FILES
from prior3d.errors import Prior3dError
from prior3d.images.opening import opened_image
from prior3d.inside import climbs, resolved_inside

MB = 1_000_000
LARGEST = {"image": 50 * MB, "mesh": 100 * MB, "splats": 500 * MB, "capture": 100 * MB}  # of one file
LARGEST_CAPTURE, MOST_FILES = 4_000 * MB, 20_000
SUFFIXES = {"image": PICTURES, "mesh": MESHES, "splats": SPLAT_FILES}
KEPT_S = 7 * 24 * 3600.0  # an upload that no job uses
ID = re.compile(r"[0-9a-f]{32}")
ANOTHER = "choose another file"


class Uploads:
    """The files that were dropped into a project's studio."""

    def __init__(self, project: Project) -> None:
        self.folder = project.state / "studio" / "files"
        self._sizes: dict[str, tuple[int, int]] = {}  # of captures: files, bytes

    async def take(self, kind: str, name: str, chunks: AsyncIterator[bytes]) -> str:
        """Keep an image, a mesh or splats, and return its id, which is the same for the same content.

        Raises:
            Prior3dError: another ending, too large, or not what its ending says.
        """
        suffix = PurePosixPath(name.replace("\\", "/")).suffix.lower()
        if suffix not in SUFFIXES[kind]:
            found = f"its ending is {suffix[:20]!r}" if suffix else "its name has no ending"
            raise Prior3dError(f"this is no {kind}: {found}; choose one of {', '.join(SUFFIXES[kind])}")
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{secrets.token_hex(8)}.partial{suffix}"
        try:
            digest = await _write(partial, chunks, LARGEST[kind])
            await to_thread.run_sync(_check, kind, partial)
            place = self.folder / digest / f"{slug(_stem(name))}{suffix}"
            if not self._find(digest):
                place.parent.mkdir(exist_ok=True)
                partial.replace(place)
            return digest
        finally:
            partial.unlink(missing_ok=True)

    async def take_part(self, name: str, path: str, chunks: AsyncIterator[bytes]) -> None:
        """Keep one file of a folder of posed images (raises Prior3dError if it is too large or lies outside)."""
        parts = PurePosixPath(path.replace("\\", "/")).parts
        if not ID.fullmatch(name) or climbs(path) or len(parts) < 2 or not path.isprintable():
            raise Prior3dError("this folder cannot be taken: a file in it has no usable name; rename it")
        n_files, size = self._sizes.get(name, (0, 0))
        if n_files >= MOST_FILES or size >= LARGEST_CAPTURE:
            most = f"{MOST_FILES:,} files and {LARGEST_CAPTURE // MB:,} MB"
            raise Prior3dError(f"this folder has more than {most}; write its path on this machine instead")
        folder = self.folder / name / slug(parts[0])
        folder.mkdir(parents=True, exist_ok=True)
        place = resolved_inside(folder, "/".join(parts[1:]), "this folder", "rename that file")
        place.parent.mkdir(parents=True, exist_ok=True)
        await _write(place, chunks, LARGEST["capture"])
        self._sizes[name] = n_files + 1, size + place.stat().st_size

    def place(self, name: str) -> Path:
        """Where an upload lies (raises Prior3dError if it is gone)."""
        found = self._find(name)
        if found is None:
            raise Prior3dError("this file is no longer here; drop it again")
        return found

    def _find(self, name: str) -> Path | None:
        return next((self.folder / name).glob("[!.]*"), None) if re.fullmatch(r"[0-9a-f]{32,64}", name) else None

    def tidy(self, used: str) -> None:
        """Remove uploads that are a week old, and whose id does not stand in `used`, and what a kill left half."""
        for place in self.folder.glob("*"):
            if place.is_dir() and place.name not in used and time.time() - place.stat().st_mtime > KEPT_S:
                shutil.rmtree(place, ignore_errors=True)
            elif place.name.startswith("."):
                place.unlink(missing_ok=True)


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem


async def _write(place: Path, chunks: AsyncIterator[bytes], most: int) -> str:
    """Write a stream into a file that nobody else has; its SHA-256 in 32 digits (raises Prior3dError above `most`)."""
    digest, size = hashlib.sha256(), 0
    with place.open("wb") as stream:
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise Prior3dError(f"this file has more than {most // MB} MB; choose a smaller one")
            digest.update(chunk)
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    if not size:
        raise Prior3dError(f"this file is empty; {ANOTHER}")
    return digest.hexdigest()[:32]


def _check(kind: str, place: Path) -> None:
    """Open a file as what it is said to be (raises Prior3dError)."""
    if kind == "image":
        with opened_image(place, "this file", ANOTHER) as image:
            image.load()
    elif kind == "splats":
        reading = importlib.import_module("prior3d.splats.files")  # heavy, and only for those who drop splats
        try:
            reading.read_splats(place)
        except Prior3dError as error:
            raise Prior3dError(str(error).replace(str(place), "this file")) from None
    else:
        reading = importlib.import_module("prior3d.meshes.reading")  # heavy, and only for those who drop a mesh
        try:
            reading.read_mesh(place)
        except Prior3dError as error:
            raise Prior3dError(str(error).replace(f"mesh {place.name}", "this file")) from None
