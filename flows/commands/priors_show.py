"""`prior3d priors show NAME`: what a prior knows, how well, and where its card is."""

from pathlib import Path
from typing import TypedDict

from flows.engine.run_files import derived
from flows.known_priors import Known, find
from flows.terminal import Parser, say, table
from prior3d.diffusion import known_words
from prior3d.diffusion.known_words import GROUPS, READ_AS
from prior3d.toyworld.palette import BACKGROUNDS, COLOURS, PATTERNS
from prior3d.toyworld.shapes import CATEGORIES

MEASURED = Path(known_words.__file__).parents[1] / "toyworld" / "known_kinds.json"


class KnownKinds(TypedDict, total=False):
    """What `benchmarks/kinds.py` measured of the text-to-image prior: shares of its images that are found, by kind."""

    samples: dict[str, float]
    real: dict[str, float]
    images: int


def show_prior(words: list[str]) -> int:
    """`prior3d priors show NAME`."""
    name = Parser.of("priors show", "What a prior knows, by group, and how well.", "name").parse_args(words).name
    known = find(name)
    card = known.folder / "README.md"
    lines = [f"{known.name}: {known.role}, {known.folder}", *_knows(known)]
    return say("\n".join([*lines, f"its card: {card}"] if card.is_file() else lines))


def _knows(known: Known) -> list[str]:
    """What it was trained on, in words; one that is not of the toy world says so."""
    if not known.name.startswith("toy"):
        return ["it is not of the toy world: what it knows is said where it comes from"]
    return [
        f"{len(CATEGORIES)} kinds of objects:",
        *_groups(derived(MEASURED, KnownKinds) if known.name == "toy" else None),
        f"{len(COLOURS)} colours: {', '.join(COLOURS)}",
        f"patterns: {', '.join(PATTERNS)}; backgrounds: {', '.join(BACKGROUNDS)}",
        'written as: "a red mushroom with white dots", "a white house with a red roof"; it knows nothing else',
        f"other words are read as these, and the run says so: {_examples()}",
    ]


def _groups(measured: KnownKinds | None) -> list[str]:
    """A line for each group of kinds; with the shares that were measured, where they were."""
    parts = {kind.noun: kind.part for kind in CATEGORIES}
    rows, named = [], set[str]()
    for group, (members, _) in GROUPS.items():
        kinds = [kind for kind in members.split(", ") if kind not in named]
        named |= set(kinds)
        rows += [["  " + (group if i == 0 else ""), kind, parts[kind], *_found(kind, measured)]
                 for i, kind in enumerate(kinds)]  # fmt: skip
    header = ["  group", "kind", "part with a colour of its own"]
    if measured:
        header += ["found", "real"]
    lines = table([header, *rows]).splitlines()
    if measured:
        lines.append(
            f"  found: share of {measured['images']} drawn images of each kind whose caption the toy scorer finds "
            "among all that were drawn; real: of exact renders"
        )
    return lines


def _found(kind: str, measured: KnownKinds | None) -> list[str]:
    return [f"{measured[key][kind]:.0%}" for key in ("samples", "real")] if measured else []


def _examples() -> str:
    known = ("car", "boat", "duck", "sofa", "teal")
    return "; ".join(f"{', '.join(READ_AS[word].split()[:3])} as {word}" for word in known)
