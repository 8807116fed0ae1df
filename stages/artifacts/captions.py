"""`caption.json`: what given images show, in words, and whether a prior knows such things; perhaps beside an image."""

from dataclasses import asdict, dataclass
from pathlib import Path

from prior3d.errors import Prior3dError
from stages.artifacts.base import RUN_AGAIN, read_json, write_json
from stages.artifacts.images import check_object_image


@dataclass(frozen=True)
class Caption:
    """A caption of given images.

    Attributes:
        text: empty where there is none.
        known: whether the prior knows what the images show.
        error_ratio: the prior's error with the text over its error without words; 1 without a text.
        from_person: whether a person said it; else it was looked for.
    """

    text: str
    known: bool
    error_ratio: float
    from_person: bool

    @property
    def believed(self) -> str:
        """The text, if a person said it or it fits; else nothing."""
        return self.text if self.known or self.from_person else ""


def best_caption(texts_and_ratios: list[tuple[str, float]], known_below: float, from_person: bool) -> Caption:
    """The first of captions that were judged, the best first; without any, nothing is known."""
    text, error_ratio = texts_and_ratios[0] if texts_and_ratios else ("", 1.0)
    return Caption(text, error_ratio < known_below, error_ratio, from_person)


def save_caption(folder: Path, caption: Caption) -> None:
    """Write the file."""
    write_json(folder / "caption.json", asdict(caption))


def load_caption(folder: Path) -> Caption:
    """Read the file; a Prior3dError says what is wrong with it."""
    path = folder / "caption.json"
    found = read_json(path)
    try:
        caption = Caption(**found)
    except TypeError as error:
        raise Prior3dError(f"{path}: not a caption ({error}). {RUN_AGAIN}") from error
    kinds = {"text": str, "known": bool, "error_ratio": float, "from_person": bool}
    for name, kind in kinds.items():
        if not isinstance(found[name], kind):
            raise Prior3dError(f"{path}: {name} is {found[name]!r}, expected a {kind.__name__}. {RUN_AGAIN}")
    return caption


def check_caption(folder: Path) -> None:
    """Load the file."""
    load_caption(folder)


def check_captioned_image(folder: Path) -> None:
    """Load the caption, and the image that lies beside it."""
    load_caption(folder)
    check_object_image(folder)
