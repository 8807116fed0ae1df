"""What the fake stages share."""

from pathlib import Path

from prior3d.errors import Prior3dError


class TextArtifact:
    """A folder with `text.txt`, or a file."""

    name = "TextArtifact"

    @staticmethod
    def validate(place: Path) -> None:
        file = place / "text.txt" if place.is_dir() else place
        if not file.is_file() or not file.read_text().strip():
            raise Prior3dError(f"{file} holds no text")


def decorate(text: str) -> str:
    return f"<{text}>"


class Anything:
    name = "Anything"

    @staticmethod
    def validate(path):
        """It may be any file or folder."""
