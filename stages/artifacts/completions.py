"""A note beside a field, `completion.json`: that the field is the symmetric completion of an image, by these settings.

A stage that colours the field's surface then takes the body's own colours, which are finer than the field's grids.
"""

from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from prior3d.errors import Prior3dError
from prior3d.settings.completion import CompletionSettings
from stages.artifacts.base import RUN_AGAIN, read_file, write_json

FILE = "completion.json"


def save_completion(folder: Path, settings: CompletionSettings) -> None:
    """Write the note beside a field."""
    write_json(folder / FILE, asdict(settings))


def load_completion(folder: Path) -> CompletionSettings | None:
    """The settings of the completion that a field is; None if it is none.

    Raises:
        Prior3dError: the note is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return TypeAdapter(CompletionSettings).validate_json(read_file(path))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise Prior3dError(f"{path}: {where}: {problem['msg']}. {RUN_AGAIN}") from error
