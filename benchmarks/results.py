"""Results that benchmarks write: with `--write`, a table goes between two marks on a page of `docs/results/`.

The marks are `<!-- benchmark NAME: ... -->` and `<!-- end of NAME -->`. Everything else on the page stays as it is.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prior3d.errors import Prior3dError

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "results"
_started: list[str] = []  # the commit at the start


def add_write_option(parser: argparse.ArgumentParser, name: str, page: str) -> None:
    """Give a benchmark `--write`; its value is the page, whose marks are looked for before anything is measured.

    The commit is looked up now too: the code of the start runs, whatever is committed meanwhile.
    """
    _started.append(commit())
    parser.add_argument(
        "--write",
        nargs="?",
        const=str(PAGES / f"{page}.md"),
        type=marked_page(name),
        metavar="PAGE",
        help=f"also write the table into its block of a page (default: docs/results/{page}.md)",
    )


def marked_page(name: str) -> Callable[[str], Path]:
    """A type for argparse: a page that has the marks of a benchmark."""

    def page(text: str) -> Path:
        try:
            find_block(Path(text), name)
        except Prior3dError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return Path(text).resolve()

    return page


def find_block(page: Path, name: str) -> tuple[str, int, int]:
    """A page's text, and where the block of a benchmark starts and ends in it."""
    first, last = f"<!-- benchmark {name}: ... -->", f"<!-- end of {name} -->"
    if not page.is_file():
        raise Prior3dError(f"{page.name}: there is no such page, so the table of {name} cannot be written to it")
    text = page.read_text(encoding="utf-8")
    starts = list(re.finditer(rf"^<!-- benchmark {re.escape(name)}: .*-->$", text, flags=re.M))
    ends = list(re.finditer(rf"^{re.escape(last)}$", text, flags=re.M))
    if len(starts) != 1 or len(ends) != 1 or starts[0].end() > ends[0].start():
        raise Prior3dError(
            f"{page.name}: found {len(starts)} lines {first!r} and {len(ends)} lines {last!r}; "
            "a page needs one of each, in this order"
        )
    return text, starts[0].end(), ends[0].start()


def write_block(page: Path, name: str, text: str) -> None:
    """Replace a benchmark's block of a page by a text; the rest of the page keeps its bytes."""
    whole, start, end = find_block(page, name)
    page.write_text(f"{whole[:start]}\n\n{text.strip()}\n\n{whole[end:]}", encoding="utf-8")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def write_results(page: Path, name: str, text: str, device: str = "cpu") -> None:
    """Write what a benchmark found into its block, with the conditions of this run above it."""
    conditions = [
        ("commit", _started[0] if _started else commit()),
        ("date", datetime.now(UTC).date().isoformat()),
        ("machine", machine(device)),
        ("options", options(sys.argv[1:])),
    ]
    write_block(page, name, f"{markdown_table(['', ''], conditions)}\n\n{text}")
    print(f"written to {page}")


def commit() -> str:
    """The commit that runs, and whether the source differs from it; results that were just written do not count."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/results")
        return git("rev-parse", "--short", "HEAD") + (" with changes that are not committed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown: this is not a git checkout"


def machine(device: str) -> str:
    """The machine in words."""
    import torch  # late: orchestration.py measures how fast processes start that import this module

    used = torch.cuda.get_device_name(device) if device.startswith("cuda") else "no GPU used"
    return f"{os.cpu_count()} CPUs (load {os.getloadavg()[0]:.1f}), {used}, torch {torch.__version__}"


def options(words: list[str]) -> str:
    """A command line's options without `--write`; of absolute paths only the last part."""
    kept, skips = [], False
    for word in words:
        if word.partition("=")[0] == "--write":
            skips = word == "--write"
        elif skips and not word.startswith("-"):
            skips = False
        else:
            skips = False
            kept.append(Path(word).name if Path(word).is_absolute() else word)
    return f"`{shlex.join(kept)}`" if kept else "none"
