"""A prior's folder with a LoRA's weights added, as a folder of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file

from prior3d.diffusion.folders import weight_files
from prior3d.diffusion.lora import PREFIXES, Adaptation, component_of, fused, load_lora
from prior3d.errors import Prior3dError


def fuse_folder(folder: Path, lora: Path, out: Path, scale: float) -> int:
    """Write a copy of a prior with a LoRA fused into it; a folder that is not whole never has its name.

    Args:
        folder: of a diffusers pipeline, found whole.
        lora: a .safetensors file, as diffusers, peft or kohya's scripts write it.
        out: the new folder; it is not there.
        scale: how strongly the LoRA counts; 1 as it was trained.

    Returns:
        how many weights were changed.

    Raises:
        Prior3dError: the file cannot be read, or was made for another model.
    """
    adaptations = load_lora(lora)
    by_component: dict[str, list[Adaptation]] = {name: [] for name in PREFIXES}
    for adaptation in adaptations:
        by_component[component_of(adaptation)].append(adaptation)
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial, ignore=_ignored(folder, by_component))
    try:
        for component, some in by_component.items():
            _fuse_component(folder, partial, component, some, scale)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(adaptations)


def _fuse_component(folder: Path, out: Path, component: str, adaptations: list[Adaptation], scale: float) -> None:
    """Write the component's weights with the adaptations added (raises Prior3dError if one finds no weight)."""
    if not adaptations:
        return
    rest = adaptations
    for file in weight_files(folder / component, component)[0]:
        tensors, rest = fused(load_file(str(file)), rest, component, scale)
        save_file(tensors, str(out / component / file.name), metadata={"format": "pt"})
    if rest:
        raise Prior3dError(
            f"lora: {rest[0].name} ({len(rest)} such) changes no weight of this prior's {component}; it was made for "
            "another model"
        )


def _ignored(folder: Path, by_component: dict[str, list[Adaptation]]) -> Callable[[str, list[str]], list[str]]:
    """What is not copied: weights that are written here, and other sets of weights beside them."""
    changed = {folder / name for name, some in by_component.items() if some}

    def ignored(place: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(place) in changed and name.endswith(".safetensors")]

    return ignored
