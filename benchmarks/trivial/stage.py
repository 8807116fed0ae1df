"""Copies a text."""

from pathlib import Path

from stages.entry import Job, StageParams, main


class Text:
    """A text file, or a folder with `text.txt`."""

    @staticmethod
    def validate(place: Path) -> None:
        """It can be read."""
        (place / "text.txt" if place.is_dir() else place).read_text()


Params = StageParams
INPUTS = {"text": Text}
OUTPUT = Text


def run(job: Job, params: StageParams) -> None:
    """Copy."""
    source = job.inputs["text"]
    (job.out / "text.txt").write_text((source / "text.txt" if source.is_dir() else source).read_text())


if __name__ == "__main__":
    main("trivial.stage")
