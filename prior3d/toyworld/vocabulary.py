"""Everything that the toy world says of its objects: what a caption of an image is looked for among."""

from prior3d.toyworld.objects import caption, kind_of_caption
from prior3d.toyworld.palette import COLOURS, PATTERNS
from prior3d.toyworld.shapes import CATEGORIES, Category


def main_colours(kind: Category) -> list[str]:
    """The main colours that objects of a category come in."""
    return [kind.main_colour] if kind.main_colour else list(COLOURS)


def short_captions() -> dict[str, tuple[Category, str]]:
    """The captions that name a category and a main colour alone, with both."""
    return {caption(kind, main, None, None, main): (kind, main) for kind in CATEGORIES for main in main_colours(kind)}


def full_captions(kind: Category, main: str) -> list[str]:
    """The captions of a category and a main colour that also name a pattern or a part, with its colour."""
    found = []
    for accent in (colour for colour in COLOURS if colour != main):
        if kind.patterned:
            found += [caption(kind, main, pattern, None, accent) for pattern in PATTERNS]
        if kind.part:
            found.append(caption(kind, main, None, kind.part, accent))
    return found


def all_captions() -> list[str]:
    """Every caption of the toy world, each once."""
    found = list(short_captions())
    for kind, main in short_captions().values():
        found += full_captions(kind, main)
    return list(dict.fromkeys(found))


def default_colours(text: str) -> list[str]:
    """Colours that a thing has although its caption does not name them; none of a text about something else."""
    try:
        kind = kind_of_caption(text)
    except ValueError:
        return []
    part = kind.part and f" {kind.part}" in text.partition(" with ")[2]
    return [colour for colour in (kind.main_colour, None if part else kind.part_colour) if colour]
