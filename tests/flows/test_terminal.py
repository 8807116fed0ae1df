import os
import subprocess
import sys

import pytest

from flows import cli
from flows.terminal import Parser, table
from prior3d.errors import Prior3dError

ROWS = [["run", "what was asked"], ["mug", "a blue mug " * 6]]


def test_columns_are_aligned():
    assert table([["a", "long"], ["longer", "b"]]).splitlines() == ["a       long", "longer  b"]
    assert len(table(ROWS).splitlines()) == 2  # no terminal: a line stays a line


@pytest.mark.parametrize(("columns", "n_lines"), [(200, 2), (40, 3)])
def test_cells_are_wrapped_on_a_narrow_terminal(monkeypatch, columns, n_lines):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 24)))
    lines = table(ROWS).splitlines()
    assert len(lines) == n_lines and max(map(len, lines)) <= columns
    assert lines[1].startswith("mug  a blue mug") and all(line.startswith("     ") for line in lines[2:])


def test_an_unknown_option_names_the_nearest():
    parser = Parser.of("show", "Show a run.", "run")
    parser.add_argument("--all", action="store_true")
    assert parser.parse_args(["mug", "--all"]).run == "mug"
    with pytest.raises(Prior3dError, match=r"^prior3d show: unrecognized arguments: --al1; did you mean --all\?$"):
        parser.parse_args(["mug", "--al1"])
    with pytest.raises(Prior3dError, match=r"arguments are required: RUN; see: prior3d show --help$"):
        parser.parse_args([])


def test_only_a_closed_output_ends_a_command_without_a_word(monkeypatch):
    """A broken pipe to anything else is a bug, and seen."""

    def broken(words):
        raise BrokenPipeError

    monkeypatch.setattr(cli, "command", lambda name: broken)
    with pytest.raises(BrokenPipeError):
        cli.main(["ls"])


def test_nobody_reads_what_is_printed():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "flows.cli", "methods"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")
