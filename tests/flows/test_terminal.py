import os
import sys

import pytest

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
