"""`prior3d priors show NAME`: what a prior knows, and where its card is."""

from flows.known_priors import Known, find
from flows.terminal import Parser, say
from prior3d.toyworld.palette import BACKGROUNDS, COLOURS, PATTERNS
from prior3d.toyworld.shapes import CATEGORIES


def show_prior(words: list[str]) -> int:
    """`prior3d priors show NAME`."""
    name = Parser.of("priors show", "What a prior knows.", "name").parse_args(words).name
    known = find(name)
    card = known.folder / "README.md"
    lines = [f"{known.name}: {known.role}, {known.folder}", *_knows(known)]
    return say("\n".join([*lines, f"its card: {card}"] if card.is_file() else lines))


def _knows(known: Known) -> list[str]:
    """What it was trained on, in words; one that is not of the toy world says so."""
    if not known.name.startswith("toy"):
        return ["it is not of the toy world: what it knows is said where it comes from"]
    return [
        f"{len(CATEGORIES)} kinds of objects: {', '.join(kind.noun for kind in CATEGORIES)}",
        f"{len(COLOURS)} colours: {', '.join(COLOURS)}",
        f"patterns: {', '.join(PATTERNS)}; backgrounds: {', '.join(BACKGROUNDS)}",
        'written as: "a red mushroom with white dots", "a white house with a red roof"; it knows nothing else',
    ]
