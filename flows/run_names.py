"""The name of a run that nobody named: made of what is given, and never that of a run of something else."""

import filecmp
import re
from pathlib import Path

from flows.engine.input_files import folder_files
from flows.engine.method import Input, Method
from flows.engine.project import Project
from flows.engine.run import Run, slug
from flows.engine.run_files import Damaged, read_method

NAMELESS = "run"  # what `slug` makes of a text without a Latin letter
NUMBERS = re.compile(r"[-+0-9.,;\s]*")  # a camera, and no words


def unnamed_run(project: Project, method: Method, given: dict[str, bytes | Path]) -> Run:
    """The run of a command line without `--name`.

    It is called by its words, else by its file, else by its method. Where a run of that name was made of something
    else, a number follows.
    """
    base = _base(method, given)
    number = 1
    while True:
        run = Run(project, base if number == 1 else f"{base}-{number}")
        if not run.folder.exists() or _is_of(run, method, given):
            return run
        number += 1


def _base(method: Method, given: dict[str, bytes | Path]) -> str:
    main = [(declared, given[declared.name]) for declared in method.inputs if declared.name in given]
    texts = [value.decode() for declared, value in main if declared.kind == "text" and isinstance(value, bytes)]
    files = [value.stem for declared, value in main if declared.kind in ("file", "folder") and isinstance(value, Path)]
    words = [text for text in texts if not NUMBERS.fullmatch(text)]
    found = next((name for name in map(slug, [*words, *files]) if name != NAMELESS), "")
    return found or slug(method.name)


def _is_of(run: Run, method: Method, given: dict[str, bytes | Path]) -> bool:
    """Whether a run was made by the method of the same words, files and folders; its priors may be others."""
    try:
        if run.exists() and read_method(run.folder)["method"] != method.name:
            return False
    except Damaged:
        pass  # its inputs say enough, and the file is written again
    what = [declared for declared in method.inputs if declared.kind != "prior" and declared.name in given]
    return all(_is_same(declared, run.folder / "inputs", given[declared.name]) for declared in what)


def _is_same(declared: Input, inputs: Path, value: bytes | Path) -> bool:
    if isinstance(value, bytes):
        place = inputs / f"{declared.name}.txt"
        return place.is_file() and place.read_bytes() == value
    place = inputs / (declared.name + (value.suffix.lower() if declared.kind == "file" else ""))
    if declared.kind == "file":
        return place.is_file() and filecmp.cmp(place, value, shallow=False)
    return place.is_dir() and all(_is_like(place / file, value / file) for file in folder_files(place))


def _is_like(copy: Path, source: Path) -> bool:
    """Whether a copied file has the size of its source: the content of a large capture is not compared."""
    return source.is_file() and copy.stat().st_size == source.stat().st_size
