"""What all commands share on the terminal: their parser, tables, and lines that appear at once."""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO

from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

A_VERSION = "a run (mug), one of its versions (mug@3), or the run in a git revision (mug@v1.0)"
USER_ERROR, INTERRUPTED = 2, 130  # exit codes
# Control characters but tab and line feed, and those that turn the direction of writing.
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
BELOW_ZERO = re.compile(r"-[\d.]+,[-\d.,]*$")  # several numbers; argparse knows a single one itself
GAP = 2  # blanks between the columns of a table


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that names the nearest option.

    argparse, not cyclopts or tyro: the options of `run METHOD` are data, one per input that the method declares, not
    the signature of a function; and `prior3d --help` takes 0.03 s, with cyclopts 0.2 s.
    """

    @classmethod
    def of(cls, command: str, what: str, *names: str, optional: bool = False) -> "Parser":
        """The parser of a command that takes positional words, and perhaps options that its caller adds."""
        parser = cls(prog=f"prior3d {command}", description=what)
        for name in names:
            parser.add_argument(name, metavar=name.upper(), nargs="?" if optional else None)
        return parser

    def parse_args(self, args: Sequence[str], namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """Words as an option's values even if they are numbers that begin below zero: `--camera -30,15,40`."""
        joined: list[str] = []
        for word in args:
            if BELOW_ZERO.match(word) and joined and joined[-1].startswith("--") and "=" not in joined[-1]:
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return super().parse_args(joined, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        unknown = re.search(r"unrecognized arguments: (\S+)", message)
        known = [option for action in self._actions for option in action.option_strings]
        given = unknown[1].partition("=")[0] if unknown else ""
        raise Prior3dError(f"{self.prog}: {message}; {did_you_mean(given, known, f'see: {self.prog} --help', str)}")


def duration_text(seconds: float) -> str:
    """A duration as people say it: 8.2 s, 4 min 29 s, 2 h 5 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def size_text(size: float) -> str:
    """A number of bytes as people say it: 312 bytes, 12 kB, 0.4 MB, 223 MB, 1.3 GB."""
    if size < 1e5:
        return f"{size:.0f} bytes" if size < 1000 else f"{size / 1e3:.0f} kB"
    number, unit = (size / 1e6, "MB") if size < 1e9 else (size / 1e9, "GB")
    return f"{number:.1f} {unit}" if number < 9.95 else f"{number:,.0f} {unit}"


def say(text: str) -> int:
    """Print a text at once; returns the exit code of a command that went well."""
    show(sys.stdout, text)
    return 0


def warn(text: str) -> None:
    """Print a warning at once."""
    show(sys.stderr, f"warning: {text}")


def fail(text: str) -> None:
    """Print an error at once."""
    sys.stdout.flush()
    show(sys.stderr, f"error: {text}")


def show(stream: TextIO, text: str) -> None:
    """Write a line at once, cleaned; letters that the stream's encoding lacks are shown as their codes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(f"{clean(text)}\n".encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def clean(text: str) -> str:
    """A text without what would steer a terminal: names and prompts can come out of somebody else's files."""
    return STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def table(rows: list[list[str]]) -> str:
    """Rows as aligned columns. On a terminal that is too narrow for them the cells are wrapped."""
    rows = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    if sys.stdout.isatty() and sum(widths) + GAP * (len(widths) - 1) > shutil.get_terminal_size().columns:
        return _wrapped(rows)
    gap = " " * GAP
    return "\n".join(gap.join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _wrapped(rows: list[list[str]]) -> str:
    # start-up: 60 ms
    from rich import console, table, text

    grid = table.Table.grid(padding=(0, GAP, 0, 0))
    for row in rows:
        grid.add_row(*map(text.Text, row))
    wide = console.Console(width=shutil.get_terminal_size().columns)
    with wide.capture() as captured:
        wide.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
