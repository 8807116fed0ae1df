"""`prior3d priors fuse FOLDER LORA --out NEW`: a prior with a LoRA's weights added, as a folder of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file

from flows.engine.priors import check_prior
from flows.terminal import Parser, say
from prior3d.diffusion.folders import refuse_unsupported, weight_files
from prior3d.diffusion.lora import PREFIXES, Adaptation, component_of, fused, load_lora
from prior3d.errors import Prior3dError


def fuse(words: list[str]) -> int:
    """`prior3d priors fuse FOLDER LORA --out NEW [--scale 1.0]`."""
    parser = Parser.of("priors fuse", "Write a prior with a LoRA's weights added to its own.", "folder")
    parser.add_argument("lora", help="a .safetensors file, as diffusers, peft or kohya's scripts write it")
    parser.add_argument("--out", required=True, help="the folder to write; it must not be there")
    parser.add_argument("--scale", type=float, default=1.0, help="how strongly it counts (default: 1)")
    args = parser.parse_args(words)
    folder, out = Path(args.folder).expanduser(), Path(args.out).expanduser()
    if out.exists():
        raise Prior3dError(f"--out {args.out!r}: it is there already; name a new folder")
    if not (folder / "model_index.json").is_file():
        raise Prior3dError(f"prior {args.folder!r}: it holds no model_index.json; name a diffusers pipeline's folder")
    refuse_unsupported(folder)
    check_prior(folder)
    adaptations = load_lora(Path(args.lora).expanduser())
    by_component: dict[str, list[Adaptation]] = {name: [] for name in PREFIXES}
    for adaptation in adaptations:
        by_component[component_of(adaptation)].append(adaptation)
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial, ignore=_ignored(folder, by_component))
    try:
        for component, some in by_component.items():
            _fuse_component(folder, partial, component, some, args.scale)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return say(f"{out}: {len(adaptations)} weights of {folder.name} changed; use it: --prior {out}")


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
