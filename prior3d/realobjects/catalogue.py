"""What a library of models says of each: names, sizes, licence and author; and which are single, standing objects.

A library (.sh3f) is a ZIP: a Java properties file in Latin-1, models (OBJ, MTL, textures), and licences beside them.
"""

import html
import re
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname
from urllib.parse import unquote

import numpy as np
from jaxtyping import Float

from prior3d.realobjects.names import kind_of, noun

CATALOGUE = "PluginFurnitureCatalog.properties"
LICENCES = {
    "BlendSwap-CC-0": "CC0-1.0",
    "BlendSwap-CC-BY": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0-US",
    "Reallusion": "CC-BY-3.0-US",
    "Scopia": "CC-BY-3.0",
}
AUTHORS = {  # whom a library asks to name, where a model names no author of its own
    "BlendSwap-CC-0": "Blend Swap contributors",
    "BlendSwap-CC-BY": "Blend Swap contributors",
    "KatorLegaz": "Andrew Kator & Jennifer Legaz",
    "Reallusion": "Reallusion (http://www.reallusion.com)",
    "Scopia": "Emmanuel PUYBARET / eTeks and Scopia Visual Interfaces Systems, s.l. (http://www.scopia.es)",
}
FIXTURES = re.compile(  # parts of buildings, and things fixed to walls, ceilings or roads
    r"\b(door|window|shutter|blind|curtain|plug|socket|switch|intercom|smoke detector|bell ring|speech unit|staircase"
    r"|elevator|escalator|railing|column|fence|hedge|hood|wall light|wall spotlight|wall lamp|track lights|fluorescent"
    r"|towel rack|towel|toilet paper|paper towel|shower|hanger|coathanger|radiator|air conditioning|crossing|arrow"
    r"|parking slot|rails|sidewalk|emergency sign|cctv|surveillance camera|faucet|dart game|chimney|porch light|pool"
    r"|cooktop|induction|water heater|boiler|spotlight|sandpit)\b"
)
NO_FIXTURES = re.compile(r"pool table|pool lounge|dog house|towels? basket|sliding door")
FLAT = re.compile(r"\b(rug|carpet|bathmat|doormat|mat|tatami|bill|frame|newspaper|calendar|poster|card game|puzzle)\b")
SCENES = re.compile(r"\b(living room|plate, glass|kitchen tools|island|children game|tool$)\b")


@dataclass(frozen=True)
class Credit:
    """Whom a model is from.

    Attributes:
        title: of the work.
        author: who made it.
        licence: its SPDX name; that of the model's own licence file where it has one.
        source: an address, or the library.
    """

    title: str
    author: str
    licence: str
    source: str


@dataclass(frozen=True)
class Entry:
    """One model of a library.

    Attributes:
        library: the file that it is in, without `.sh3f`.
        identity: its name for machines, unique in the library.
        name: its name for people.
        category: the catalogue's shelf.
        model: path of the OBJ inside the library.
        size_cm: width (x), height (y) and depth (z).
        rotation: [3, 3], to be applied to the OBJ's vertices.
        fixture: whether the catalogue calls it a door or window.
        credit: whom it is from.
    """

    library: str
    identity: str
    name: str
    category: str
    model: str
    size_cm: tuple[float, float, float]
    rotation: Float[np.ndarray, "3 3"]
    fixture: bool
    credit: Credit

    @property
    def noun(self) -> str:
        """Its name as a caption says it."""
        return noun(self.name)

    @property
    def kind(self) -> str:
        """The kind that it is one of."""
        return kind_of(self.name)

    @property
    def family(self) -> str:
        """Near copies have one family: the identity without digits and version."""
        words = re.split(r"[-_#/\s]+", re.sub(r"\d+(v\d+)?", "", self.identity.rpartition("#")[2].lower()))
        return f"{self.kind}: {' '.join(word for word in words if len(word) > 1)}"


def read_library(path: Path) -> list[Entry]:
    """The entries of a library."""
    with zipfile.ZipFile(path) as archive:
        keys = read_properties(archive.read(CATALOGUE).decode("latin-1"))
        beside: dict[str, list[str]] = defaultdict(list)
        for name in archive.namelist():
            beside[dirname(name)].append(name)
        entries, number = [], 1
        while f"id#{number}" in keys:
            texts = {key: keys.get(f"{key}#{number}", "") for key in KEYS}
            files = beside[dirname(unquote(texts["model"]).lstrip("/"))]
            entries.append(_entry(path.stem, texts, _own_credit(archive, files)))
            number += 1
    return entries


KEYS = ("id", "name", "category", "model", "width", "height", "depth", "modelRotation", "creator", "doorOrWindow")


def read_properties(text: str) -> dict[str, str]:
    """Java properties without continuation lines (none are used): unescaped values by key."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.lstrip().startswith("#"):
            value = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), value.strip())
            found[key.strip()] = re.sub(r"\\(.)", r"\1", value)
    return found


def _entry(library: str, texts: dict[str, str], own: dict[str, str]) -> Entry:
    rotation = np.array((texts["modelRotation"] or "1 0 0 0 1 0 0 0 1").split(), float).reshape(3, 3)
    by_library = texts["creator"] if library.startswith("BlendSwap") else AUTHORS.get(library)
    author = own.get("author") or by_library or AUTHORS.get(library, "unknown")
    credit = Credit(
        own.get("title") or texts["name"],
        author,
        own.get("licence") or LICENCES.get(library, "unknown"),
        own.get("source") or f"{library}.sh3f of SweetHome3D",
    )
    size = float(texts["width"]), float(texts["height"]), float(texts["depth"])
    model = unquote(texts["model"]).lstrip("/")
    fixture = texts["doorOrWindow"] == "true"
    return Entry(library, texts["id"], texts["name"], texts["category"], model, size, rotation, fixture, credit)


def _own_credit(archive: zipfile.ZipFile, files: list[str]) -> dict[str, str]:
    """What the licence file beside a model says (.txt, .html of Blend Swap); empty where there is none."""
    for name in files:
        if not name.lower().endswith((".txt", ".html")):
            continue
        text = archive.read(name).decode("utf-8", "replace")
        if name.lower().endswith(".html"):
            text = html.unescape(re.sub("<[^>]+>", " ", text))
        text = re.sub(r"\s+", " ", text)
        licence = "CC-BY-3.0" if "Attribution 3.0" in text else ""
        licence = "CC0-1.0" if re.search(r"Creative Commons (CC-)?Zero", text) else licence
        found = {
            "title": re.search(r'(?:downloading|About) "(.*?)"', text),
            "author": re.search(
                r'(?:downloading ".*?" by|[Rr]eleased by) (.*?)(?: Released under| under the following| ?\. |$)', text
            ),
        }
        address = re.search(r"https?://(?:www\.)?blendswap\.com/(?:blends?/)(?:view/)?\d+", text)
        own = {key: match[1].strip() for key, match in found.items() if match}
        return own | {"licence": licence, "source": address[0] if address else ""}
    return {}


def refused_by_name(entry: Entry) -> str | None:
    """Why an entry is no single free-standing object, as far as names tell; else None."""
    text = entry.name.lower()
    if entry.fixture or entry.category in ("Doors and windows", "Staircases"):
        return "door, window or stairs"
    if FIXTURES.search(text) and not NO_FIXTURES.search(text):
        return "fixture"
    if FLAT.search(text):
        return "flat"
    return "scene or nameless" if SCENES.search(text) else None
