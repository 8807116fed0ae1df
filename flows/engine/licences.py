"""The licences of a run's priors and inputs, as the files themselves state them; nothing is assumed otherwise."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flows.engine.run_files import InputEntry
from prior3d.diffusion.embedded import embedded_folders
from prior3d.errors import Prior3dError
from prior3d.limits import parse_json, read_bytes

EMBEDDED = "MIT (comes with prior3d)"
STATED_BESIDE = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING")
FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)^---\s*$", re.S | re.M)
CARD_LICENCE = re.compile(r"^license(?:_name)?:\s*['\"]?([^'\"\n]+)", re.M)
GLB_COPYRIGHT, EXIF_COPYRIGHT, LONGEST = b"glTF", 0x8298, 200
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


def licences(
    inputs: dict[str, InputEntry], given: Mapping[str, bytes | Path], priors: Mapping[str, Any]
) -> dict[str, str]:
    """Method input -> its licence, for each prior, file and folder that states one.

    Args:
        inputs: as a run's `method.yaml` describes them.
        given: method input -> its content, or where its file or folder lies.
        priors: name -> folder on this machine, of those that are not embedded.
    """
    found = {}
    for name, entry in inputs.items():
        place = given.get(name)
        stated = _licence_of(place) if isinstance(place, Path) else ""
        if "digest" in entry:
            stated = prior_licence(str(entry.get("name")), priors)
        if stated:
            found[name] = stated
    return found


def prior_licence(name: str, priors: Mapping[str, Any]) -> str:
    """What a prior's model card or licence file says; empty if neither does."""
    if name in priors:
        return _licence_beside(Path(str(priors[name])))
    here = next((base / name for base in embedded_folders() if (base / name).is_dir()), None)
    return (_licence_beside(here) or EMBEDDED) if here is not None else ""


def _licence_beside(folder: Path) -> str:
    """Out of the front matter of `README.md`, as model hubs have it, else the first line of a licence file."""
    front = FRONT_MATTER.search(_text(folder / "README.md"))
    stated = CARD_LICENCE.search(front[1]) if front else None
    if stated:
        return _short(stated[1])
    return _first_line(folder / name for name in STATED_BESIDE)


def _licence_of(path: Path) -> str:
    if path.is_dir():
        return _licence_beside(path)
    beside = _first_line([path.with_name(f"{path.name}.license")])  # as the REUSE specification has it
    return beside or (_image_copyright(path) if path.suffix.lower() in IMAGES else _glb_copyright(path))


def _image_copyright(path: Path) -> str:
    from prior3d.images.opening import opened_image  # start-up: only runs with an image need it

    try:
        with opened_image(path, str(path), "give another one") as image:
            return _short(str(image.getexif().get(EXIF_COPYRIGHT) or image.info.get("Copyright") or ""))
    except Prior3dError:
        return ""  # the stage that reads it says what is wrong with it


def _glb_copyright(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            header = stream.read(20)
            document = stream.read(int.from_bytes(header[12:16], "little")) if header[:4] == GLB_COPYRIGHT else b"{}"
        return _short(str(parse_json(document)["asset"]["copyright"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _first_line(files: Iterable[Path]) -> str:
    lines = (line.strip() for file in files for line in _text(file).splitlines())
    return _short(next(filter(None, lines), ""))


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode(errors="replace") if path.is_file() else ""
    except OSError:
        return ""


def _short(text: str) -> str:
    return " ".join(text.split())[:LONGEST]
