"""A stage that copies a text: what it takes and gives."""

from pathlib import Path

from stages.contract.parameters import StageParams


class Text:
    """A text file, or a folder with `text.txt`."""

    name = "Text"

    @staticmethod
    def validate(place: Path) -> None:
        """It can be read."""
        (place / "text.txt" if place.is_dir() else place).read_text()


Params = StageParams
INPUTS = {"text": Text}
OUTPUT = Text
