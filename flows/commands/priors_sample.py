"""`prior3d priors sample NAME`: a grid of samples as an image."""

import argparse
import itertools
from pathlib import Path

from flows.known_priors import Known, find, load
from flows.request import check_text
from flows.terminal import Parser, say, warn
from prior3d.diffusion.known_words import told_of
from prior3d.errors import Prior3dError

LONGEST_TEXT = 1000
STEPS = 25
GUIDANCE, JOINT = 4.0, 2.5


def sample(words: list[str]) -> int:
    """`prior3d priors sample NAME ...`."""
    parser = Parser.of("priors sample", "Draw a grid of samples into a PNG file.", "name")
    parser.add_argument("--prompt", action="append", default=[], help="what to show; may be repeated")
    parser.add_argument("--instruction", action="append", default=[], help="for an instruct prior: what to change")
    parser.add_argument("--image", type=Path, help="image to fill or to edit")
    parser.add_argument("--mask", type=Path, help="image that is white where --image is to be filled")
    parser.add_argument(
        "--concept", type=Path, help="folder of a learned word for --prompt (textual_inversion in a run)"
    )
    parser.add_argument("--guidance-scale", type=float, help=f"default: {GUIDANCE:g}, of a joint-view prior {JOINT:g}")
    parser.add_argument("--image-guidance-scale", type=float, default=1.5, help="for an instruct prior")
    parser.add_argument("--steps", type=int, default=STEPS, help="denoising steps per sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="default: samples-NAME.png")
    args = parser.parse_args(words)
    known = find(args.name)
    texts, out = _texts(known, args), _target(args.out, known.name)
    # start-up: torch, which the errors above do not need
    from flows.prior_samples import Sampling, teach_concept, unknown_words, write_samples

    prior = load(known, args.device)
    if args.concept is not None:
        teach_concept(prior, args.concept, texts)
    if unknown := unknown_words(prior, texts):
        warn(f"{told_of(unknown)}; what it knows: prior3d priors show {known.name}")
    guidance_scale = args.guidance_scale or (JOINT if known.role == "joint_views" else GUIDANCE)
    sampling = Sampling(guidance_scale, args.image_guidance_scale, args.steps, args.seed)
    write_samples(out, prior, texts, args.image, args.mask, sampling)
    return say(str(out))


def _target(asked: Path | None, name: str) -> Path:
    """Where the image goes; nothing is overwritten (raises Prior3dError if the file that was asked for is there)."""
    if asked is not None:
        if asked.exists():
            raise Prior3dError(f"--out {asked} exists; name another file, or delete it")
        return asked
    stem = f"samples-{name.replace('/', '-')}"
    numbers = itertools.count(2)
    out = Path(f"{stem}.png")
    while out.exists():
        out = Path(f"{stem}-{next(numbers)}.png")
    return out


def _texts(known: Known, args: argparse.Namespace) -> list[str]:
    """The texts that the role takes (raises Prior3dError if something that it needs is not given)."""
    needed = {
        "text_to_image": ("prompt",),
        "joint_views": ("prompt",),
        "inpainting": ("prompt", "image", "mask"),
        "instruct": ("instruction", "image"),
    }.get(known.role)
    if needed is None:
        what = "draws only views of posed images" if known.role == "views" else "draws nothing"
        raise Prior3dError(f"prior {known.name} ({known.role}) {what}, so it cannot be sampled from words")
    for name in needed:
        if not getattr(args, name):
            raise Prior3dError(f"--{name} is missing: prior {known.name} ({known.role}) takes --{', --'.join(needed)}")
    for name in ("prompt", "instruction", "image", "mask"):
        if name not in needed and getattr(args, name):
            raise Prior3dError(f"--{name} does not apply to prior {known.name} ({known.role}); leave it out")
    option = needed[0]
    return [check_text(f"--{option}", text, LONGEST_TEXT) for text in getattr(args, option)]
