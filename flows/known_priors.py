"""The priors on this machine: embedded ones and the project's own, by name, folder or hub id."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.engine.priors import choose_prior
from flows.engine.project import find_project
from prior3d.diffusion.embedded import embedded_folders
from prior3d.diffusion.folders import role_of
from prior3d.errors import Prior3dError


@dataclass(frozen=True)
class Known:
    """A prior on this machine: its name, folder and role (`unknown` if this version knows no such prior)."""

    name: str
    folder: Path
    role: str


def known_priors() -> list[Known]:
    """Embedded priors, and those of the project around the current folder."""
    bases = list(embedded_folders())
    with contextlib.suppress(Prior3dError):  # outside a project only the embedded ones are known
        bases.append(find_project(Path.cwd()).root / "data" / "priors")
    folders = {f.resolve() for base in bases if base.is_dir() for f in base.iterdir() if f.is_dir()}
    return [Known(f.name, f, _role(f)) for f in sorted(folders) if _is_prior(f)]


def find(text: str) -> Known:
    """A prior by name, folder or pinned hub id (raises Prior3dError)."""
    for known in known_priors():
        if known.name == text:
            return known
    folder = Path(text).expanduser()
    if folder.is_dir() and _role(folder) == "scorer":
        return Known(folder.resolve().name, folder.resolve(), "scorer")
    chosen = choose_prior(text, find_project(Path.cwd()))
    return Known(chosen.name, chosen.folder, role_of(chosen.folder))


def load(known: Known, device: str) -> Any:
    """The prior itself, on a device (raises Prior3dError if no role that this version knows fits it)."""
    # start-up: torch and diffusers, which `priors ls` does not need
    from prior3d.devices import choose_device
    from prior3d.diffusion import inpainting, instruct, joint_views, scorer, text_to_image, views

    loaders: dict[str, Any] = {
        "text_to_image": text_to_image.load_text_to_image,
        "inpainting": inpainting.load_inpainting,
        "instruct": instruct.load_instruct,
        "views": views.load_views,
        "joint_views": joint_views.load_joint_views,
        "scorer": scorer.load_scorer,
    }
    if known.role not in loaders:
        raise Prior3dError(f"prior {known.name}: {known.folder} has no role that this version can load")
    return loaders[known.role](known.folder, choose_device(device))


def _role(folder: Path) -> str:
    try:
        return role_of(folder)
    except Prior3dError:
        return "unknown"


def _is_prior(folder: Path) -> bool:
    return (folder / "model_index.json").is_file() or _role(folder) != "unknown"
