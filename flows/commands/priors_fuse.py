"""`prior3d priors fuse FOLDER LORA --out NEW`: a prior with a LoRA's weights added, as a folder of its own."""

from pathlib import Path

from flows.engine.prior_files import check_prior
from flows.terminal import Parser, say
from prior3d.diffusion.folders import refuse_unsupported
from prior3d.diffusion.fused_folder import fuse_folder
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
    n_changed = fuse_folder(folder, Path(args.lora).expanduser(), out, args.scale)
    return say(f"{out}: {n_changed} weights of {folder.name} changed; use it: --prior {out}")
