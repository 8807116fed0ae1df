import ast
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows import cli
from flows.terminal import Parser, clean, show, table
from flows.versions.text import measured_text
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


STEERING = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\x08", "\u202eexe.txt", "\u2066", "\x7f", "\x00"]


@pytest.mark.parametrize("text", STEERING)
def test_what_would_steer_the_terminal_is_shown_as_its_code(text):
    shown = clean(f"<{text}>")
    assert shown.isprintable() and shown.startswith("<") and shown.endswith(">") and "\\" in shown


def test_other_letters_stay():
    for text in (
        "a red mug",
        "\u7ea2\u8272",
        "\u0928\u200d\u092e",
        "two\nlines\tand",
        "\U0001f468\u200d\U0001f469",
        "\u00a0",
    ):
        assert clean(text) == text


def test_letters_that_the_terminal_lacks():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(stream, "\u043c\u044f\u0447 \udce9")
    assert stream.buffer.getvalue() == b"\\u043c\\u044f\\u0447 \\udce9\n"


def test_everything_is_printed_through_one_door():
    """Who writes to a stream by another way skips the cleaning."""
    doors = {
        ("terminal.py", "show"),
        ("versions.py", "_confirmed"),
        ("remove.py", "_confirmed"),
        ("forkserver.py", "_start_over"),
    }
    found = set()
    for file in Path(cli.__file__).parent.rglob("*.py"):
        for function in [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef)]:
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and re.search(
                    r"(std(out|err)|stream)\.write$|^print$", ast.unparse(node.func)
                ):
                    found.add((file.name, function.name))
    assert found == doors


def test_steering_in_the_files_of_a_run(fake):
    assert fake.run()[0] == 0
    method = fake.folder() / "method.yaml"
    method.write_text(
        method.read_text().replace("text: one two", 'text: "\\e]0;x\\a\\e[2J"').replace("counting-method", "m\\x1b[31m")
    )
    for words in (["ls"], ["status", "demo"], ["log", "demo"], ["plan", "demo"]):
        _, out, err = fake.cli(*words)
        assert "\x1b" not in out + err and "\x07" not in out + err
    assert "\\x1b]0;x\\x07\\x1b[2J" in fake.cli("ls")[1]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (10_000, "faces", "10,000 faces"), (12345.678, "nodes", "12,346 nodes"),
        (1, "yes/no", "yes"), (0.0, "yes/no", "no"),
        (269.0, "s", "4 min 29 s"), (8.2, "s", "8.2 s"), (7500, "s", "2 h 5 min"), (59.96, "s", "1 min 0 s"),
        (22.8612, "dB", "22.86 dB"), (0.874, "", "0.874"),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(value, unit, said):
    assert measured_text("x", value, unit) == said
