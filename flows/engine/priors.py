"""The prior that a person names: found, checked for missing and truncated files, and known by its content."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from flows.engine.hub import from_hub
from flows.engine.method import Input
from flows.engine.prior_files import check_prior, content_digest, file_digest, remembered
from flows.engine.project import Project
from prior3d.diffusion.embedded import embedded_names, embedded_prior, is_embedded
from prior3d.diffusion.folders import (
    NAMED_ROLES,
    check_channels,
    check_named,
    role_of,
)
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(@(?P<revision>[\w./-]+))?$")
LORA = re.compile(r"^(.+?)\+([^+]+\.safetensors)(?::(\d*\.?\d+))?$")  # prior, file, scale


@dataclass(frozen=True)
class PriorChoice:
    """A prior that is there and whole.

    Attributes:
        name: what the run calls it.
        digest: of its content; two folders with the same content are the same prior.
        folder: where it lies on this machine.
        embedded: whether it travels with the package.
    """

    name: str
    digest: str
    folder: Path
    embedded: bool

    @property
    def toy(self) -> bool:
        """Whether it is an embedded one, with a LoRA or without, or one that was trained in the place of one."""
        return self.embedded or is_embedded(self.name.partition("+")[0])

    def as_input(self) -> bytes:
        """The content of the run's input file."""
        return (json.dumps({"name": self.name, "digest": self.digest}, indent=2) + "\n").encode()


_chosen: ContextVar[dict[tuple[str, Path, str | None], PriorChoice] | None] = ContextVar("chosen", default=None)


@contextmanager
def chosen_once() -> Iterator[None]:
    """Look at each prior once inside: a sweep's thousand rows share a few, and plan in the same moment."""
    before = _chosen.set({})
    try:
        yield
    finally:
        _chosen.reset(before)


def choose_prior(text: str, project: Project, role: str | None = None) -> PriorChoice:
    """Find a prior by the name of an embedded one, a folder, or a pinned hub id, perhaps with a LoRA.

    Args:
        text: what a person calls it; `PRIOR+FILE.safetensors` or `PRIOR+FILE.safetensors:0.7` fuses a LoRA into it.
        project: whose own priors are looked through too.
        role: what it has to serve as (`prior3d.diffusion.folders`); None: anything.

    Raises:
        Prior3dError: not there, not whole, not pinned, or of another role.
    """
    kept = _chosen.get()
    if kept is None:
        return _choose(text, project, role)
    key = (text, project.root, role)
    if key not in kept:
        kept[key] = _choose(text, project, role)
    return kept[key]


def _choose(text: str, project: Project, role: str | None) -> PriorChoice:
    if role == "scorer":
        return _scorer(text, project)
    with_lora = LORA.match(text)
    choice = _fused(with_lora, project) if with_lora else _found(text, project)
    if role is not None and role in NAMED_ROLES.values():
        check_named(choice.folder, role)
    elif role is not None:
        check_channels(choice.folder, role)
    return choice


def role_among(declared: Input, text: str | None, project: Project) -> str | None:
    """Which of the roles that an input takes a prior has; its first, if the prior has none or is not named."""
    found = role_of(choose_prior(text, project).folder) if declared.other_roles and text else None
    return found if found in declared.other_roles else declared.role


def names_own(inputs: Iterable[Input], texts: Iterable[str | None], project: Project) -> bool:
    """Whether any of the priors that a person names is no toy one."""
    for declared, text in zip(inputs, texts, strict=True):
        role = declared.role if declared.role == "scorer" else None  # other roles are checked where a prior is taken
        if declared.kind == "prior" and text and not choose_prior(text, project, role).toy:
            return True
    return False


def _fused(named: re.Match[str], project: Project) -> PriorChoice:
    """A prior with a LoRA fused into it; written into the project's state once, and found there afterwards."""
    base, lora, scale = _found(named[1], project), Path(named[2]).expanduser(), float(named[3] or 1)
    if not lora.is_file():
        raise Prior3dError(f"lora {named[2]!r}: there is no such file; write it as PRIOR+FILE.safetensors")
    name = f"{base.name}+{lora.stem}"
    key = hashlib.sha256(f"{base.digest} {file_digest(lora)} {scale:g}".encode()).hexdigest()[:12]
    folder = project.state / "fused" / key / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _networks()[0].fuse_folder(base.folder, lora, folder, scale)
    return _checked(name, folder, project, embedded=False)


def _networks() -> tuple[ModuleType, ModuleType]:
    from prior3d.diffusion import fused_folder, scorer  # start-up: they import torch

    return fused_folder, scorer


def _scorer(text: str, project: Project) -> PriorChoice:
    """A CLIPModel folder, by its path or by the name of an embedded one or one of the project's."""
    given = Path(text).expanduser()
    folder, embedded = given.resolve(), False
    if not (given / "config.json").is_file():
        own = project.root / "data" / "priors" / text
        embedded = not (own / "config.json").is_file()
        folder = embedded_prior(text) if embedded else own
    _networks()[1].check_scorer_folder(folder)
    return PriorChoice(folder.name, content_digest(folder, project.state / "digests.json"), folder, embedded)


def _found(text: str, project: Project) -> PriorChoice:
    folder = Path(text).expanduser()
    if folder.is_dir() and (folder / "model_index.json").exists():
        return _checked(folder.resolve().name, folder.resolve(), project, embedded=False)
    if text in embedded_names():
        return _checked(text, embedded_prior(text), project, embedded=True)
    own = project.root / "data" / "priors" / text
    if text and "/" not in text and (own / "model_index.json").is_file():
        return _checked(text, own, project, embedded=False)
    hub = HUB_ID.match(text)
    if hub and not text.startswith((".", "~", "/")) and not folder.exists():
        if not hub["revision"]:
            raise Prior3dError(
                f"prior {text!r}: no such folder, and as a hub id it names no revision; "
                f"pin one, e.g. --prior {text}@REVISION"
            )
        return _checked(text, from_hub(text.partition("@")[0], hub["revision"]), project, embedded=False)
    raise Prior3dError(_unknown(text, folder))


def _unknown(text: str, folder: Path) -> str:
    if folder.is_dir():
        return f"prior {text!r}: the folder holds no model_index.json; name the top folder of a diffusers pipeline"
    names = embedded_names()
    hint = did_you_mean(text, names, f"embedded: {', '.join(names) or 'none'}")
    return f"prior {text!r} is neither an embedded prior, nor a folder, nor ORG/NAME@REVISION; {hint}"


def _checked(name: str, folder: Path, project: Project, embedded: bool) -> PriorChoice:
    cache_file = project.state / "digests.json"
    check_prior(folder, known=remembered(cache_file))
    return PriorChoice(name, content_digest(folder, cache_file), folder, embedded)
