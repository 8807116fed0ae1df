"""How well the toy prior knows each kind, and what reading unknown words brings: `python benchmarks/kinds.py`.

Each image is judged by the toy scorer, which looks for its caption among 200. With `--data` the shares by kind go into
`prior3d/toyworld/known_kinds.json`, which `prior3d priors show toy` reads.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from results import ROOT, add_write_option, markdown_table, write_results

DATA = ROOT / "prior3d" / "toyworld" / "known_kinds.json"
OTHER_WORDS = {  # prompts in words that the prior lacks, and the captions that are meant
    "a red beetle": "a red car",
    "a crimson automobile": "a red car",
    "a golden airplane": "a yellow plane",
    "a turquoise couch": "a teal sofa",
    "a cute pink bird": "a pink duck",
    "a violet goldfish": "a purple fish",
    "a big green pine": "a green fir tree",
    "a navy sailboat with a white sail": "a blue boat with a white sail",
    "a gray android": "a grey robot",
    "a shiny orange teacup": "an orange mug",
    "a white cottage with a red roof": "a white house with a red roof",
    "a small red toadstool with white spots": "a red mushroom with white dots",
}


def captions_by_kind(each: int) -> list[str]:
    """Captions of every kind: as many of each, colours and second colours in turn."""
    from prior3d.toyworld.shapes import CATEGORIES
    from prior3d.toyworld.vocabulary import full_captions, main_colours

    found = []
    for kind in CATEGORIES:
        colours = main_colours(kind)
        for i in range(each):
            colour = colours[(5 * i) % len(colours)]
            fuller = full_captions(kind, colour)
            found.append(fuller[(7 * i) % len(fuller)] if fuller else f"a {colour} {kind.noun}")
    return list(dict.fromkeys(found))


def judged(scorer, images: torch.Tensor, captions: list[str], among: list[str]) -> torch.Tensor:
    """Whether each image's caption is the nearest of many: [n]."""
    texts = list(dict.fromkeys([*captions, *among]))[: max(200, len(set(captions)))]
    wanted = torch.tensor([texts.index(caption) for caption in captions])
    return scorer.similarity(images, texts).argmax(-1).cpu() == wanted


def drawn(prior, texts: list[str], azimuth: torch.Tensor, steps: int) -> torch.Tensor:
    """One image of each text: [n, 3, 64, 64]."""
    from prior3d.diffusion.camera_embedding import camera_embedding

    generator, made = torch.Generator().manual_seed(0), []
    for first in range(0, len(texts), 16):
        part = slice(first, first + 16)
        cameras = camera_embedding(azimuth[part], torch.full_like(azimuth[part], 20.0))
        prompts = [f"{text}, white background" for text in texts[part]]
        made.append(
            prior.sample(prompts, cameras, guidance_scale=3.0, num_inference_steps=steps, generator=generator).cpu()
        )
    return torch.cat(made)


def real(captions: list[str], azimuth: torch.Tensor) -> torch.Tensor:
    """Exact renders of held-out objects of these captions."""
    from prior3d.cameras import orbit_cameras
    from prior3d.toyworld.objects import build_object, kind_of_caption, object_generator
    from prior3d.toyworld.palette import COLOURS, PATTERNS
    from prior3d.toyworld.renders import render_toy, toy_orbit

    images = []
    for i, caption in enumerate(captions):
        kind, (thing, _, detail) = kind_of_caption(caption), caption.partition(" with ")
        main = kind.main_colour or next(word for word in thing.split() if word in COLOURS)
        accent = next((word for word in detail.split() if word in COLOURS), main)
        pattern = next((p for p in PATTERNS if detail.endswith(p)), None)
        part = kind.part if detail and not pattern else None
        toy = build_object(kind, object_generator(0, i, "held-out"), main, pattern, part, accent)
        cameras = orbit_cameras(toy_orbit(azimuth[i : i + 1], torch.tensor([20.0])), 64, 64)
        images.append(torch.from_numpy(render_toy(toy, cameras).over((1.0, 1.0, 1.0))[0]).permute(2, 0, 1))
    return torch.stack(images)


def by_kind(captions: list[str], right: torch.Tensor) -> dict[str, float]:
    """The share of each kind."""
    from prior3d.toyworld.objects import kind_of_caption

    found: dict[str, list[float]] = {}
    for caption, one in zip(captions, right.tolist(), strict=True):
        found.setdefault(kind_of_caption(caption).noun, []).append(float(one))
    return {kind: round(sum(values) / len(values), 3) for kind, values in found.items()}


def other_words(prior, scorer, draws: int, steps: int) -> tuple[float, float]:
    """R-Precision of prompts in unknown words, for what they mean: spelt in letters as before, and read."""
    from prior3d.diffusion import prompt_encoder

    prompts = [text for text in OTHER_WORDS for _ in range(draws)]
    wanted = [OTHER_WORDS[text] for text in prompts]
    azimuth = torch.arange(len(prompts)) * 37.0 % 360
    among, shares = captions_by_kind(8), []
    reading: Callable = prompt_encoder.read
    for read in (lambda prompt, unknown: prompt, reading):
        prompt_encoder.read = read
        prior.diffusion.prompts.forget()
        shares.append(float(judged(scorer, drawn(prior, prompts, azimuth, steps), wanted, among).float().mean()))
    prompt_encoder.read = reading
    return shares[0], shares[1]


def main() -> None:
    """Measure, print and perhaps write."""
    from prior3d.diffusion.embedded import embedded_prior
    from prior3d.diffusion.scorer import load_scorer
    from prior3d.diffusion.text_to_image import load_text_to_image

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8, help="images of each kind")
    parser.add_argument("--draws", type=int, default=3, help="images of each prompt in other words")
    parser.add_argument("--steps", type=int, default=12, help="denoising steps")
    parser.add_argument("--data", action="store_true", help="also write the file that `priors show toy` reads")
    add_write_option(parser, "kinds", "priors")
    args = parser.parse_args()
    cpu = torch.device("cpu")
    prior, scorer = load_text_to_image(embedded_prior("toy"), cpu), load_scorer(embedded_prior("toy-scorer"), cpu)
    captions = captions_by_kind(args.images)
    azimuth = torch.arange(len(captions)) * 47.0 % 360
    with torch.no_grad():
        found = {
            "samples": by_kind(captions, judged(scorer, drawn(prior, captions, azimuth, args.steps), captions, [])),
            "real": by_kind(captions, judged(scorer, real(captions, azimuth), captions, [])),
        }
        before, after = other_words(prior, scorer, args.draws, args.steps)
    rows = [(kind, f"{share:.0%}", f"{found['real'][kind]:.0%}") for kind, share in found["samples"].items()]
    table = markdown_table(["kind", "drawn", "real renders"], rows)
    n = len(OTHER_WORDS) * args.draws
    said = f"Prompts in words that the prior lacks ({len(OTHER_WORDS)}, {n} images): {before:.1%} are found for what \
they mean where words are spelt in letters, {after:.1%} where known words are read for them."
    text = f"R-Precision among {max(200, len(captions))} captions, {len(captions)} images:\n\n{table}\n\n{said}"
    print(text)
    if args.data:
        Path(DATA).write_text(json.dumps({**found, "images": args.images}, indent=1) + "\n", encoding="utf-8")
    if args.write:
        write_results(args.write, "kinds", text)


if __name__ == "__main__":
    main()
