"""Rules of the house that no linter checks: short functions and files, imports at the top, no casts.

Where a rule does not hold yet, the file is listed with its number of places. A number may only fall.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ("prior3d", "stages", "flows")
FUNCTION_LINES, FILE_LINES, MOST_INNER_IMPORTS = 40, 300, 60
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def long_functions(tree: ast.Module, lines: list[str]) -> Iterator[int]:
    """First lines of functions with more than 40 lines, signature and docstring included."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS) and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES:
            yield node.lineno


def long_file(tree: ast.Module, lines: list[str]) -> Iterator[int]:
    """The last line of a file with more than 300."""
    if len(lines) > FILE_LINES:
        yield len(lines)


def inner_imports(tree: ast.Module, lines: list[str]) -> Iterator[int]:
    """Lines of imports inside functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    inner = (node for function in functions for node in ast.walk(function))
    yield from sorted({node.lineno for node in inner if isinstance(node, ast.Import | ast.ImportFrom)})


def unexplained_imports(tree: ast.Module, lines: list[str]) -> Iterator[int]:
    """Lines of imports inside functions that no comment explains: on the line, or above it or its group of imports."""
    for number in inner_imports(tree, lines):
        above = number - 1
        while lines[above - 1].strip().startswith(("import ", "from ")):
            above -= 1
        if "#" not in lines[number - 1] and not lines[above - 1].strip().startswith("#"):
            yield number


def hidden_imports(tree: ast.Module, lines: list[str]) -> Iterator[int]:
    """Lines under `if TYPE_CHECKING` that import a module of the project: they hide a circle."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            inside = [part for statement in node.body for part in ast.walk(statement)]
            names = [(part.lineno, part.module or "") for part in inside if isinstance(part, ast.ImportFrom)]
            names += [
                (part.lineno, name.name) for part in inside if isinstance(part, ast.Import) for name in part.names
            ]
            yield from (line for line, name in names if name.partition(".")[0] in PROJECT)


def casts(tree: ast.Module, lines: list[str]) -> Iterator[int]:
    """Lines that import or use `typing.cast`."""
    for node in ast.walk(tree):
        imported = (
            isinstance(node, ast.ImportFrom) and node.module == "typing" and "cast" in [n.name for n in node.names]
        )
        used = isinstance(node, ast.Attribute) and ast.unparse(node) == "typing.cast"
        if isinstance(node, ast.ImportFrom | ast.Attribute) and (imported or used):
            yield node.lineno


def renamed_classes(tree: ast.Module, lines: list[str]) -> Iterator[int]:
    """Lines that import a class under another name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [name.name for name in node.names if name.asname not in (None, name.name)]
            yield from (node.lineno for name in names if name[0].isupper() and not name.isupper())


RULES = (long_functions, long_file, unexplained_imports, hidden_imports, casts, renamed_classes)
EXAMPLE = (
    """\
from typing import TYPE_CHECKING, cast
from other import Thing as Another, CONSTANT as LEVEL, function as helper
if TYPE_CHECKING:
    from prior3d.cameras import Cameras
    import torch
def short():
    import json
    import yaml  # start-up
    # heavy
    import torch
    from torch import nn
def long():
"""
    + "    pass\n" * 40
)


def places(rule, root: Path = ROOT, packages: tuple[str, ...] = PROJECT) -> dict[str, list[int]]:
    """Line numbers by file, of the project's files that break a rule."""
    found = {}
    for file in sorted(file for package in packages for file in (root / package).rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        numbers = list(rule(ast.parse(source), source.splitlines()))
        if numbers:
            found[file.relative_to(root).as_posix()] = numbers
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_rules(rule):
    found = places(rule)
    assert not found, f"{(rule.__doc__ or '').strip()} Found at {found}"


def test_no_file_of_tests_or_benchmarks_is_long():
    assert places(long_file, packages=("tests", "benchmarks")) == {}


def test_few_imports_stand_inside_functions():
    assert sum(map(len, places(inner_imports).values())) <= MOST_INNER_IMPORTS


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        (long_functions, [12]),
        (long_file, []),
        (inner_imports, [7, 8, 10, 11]),
        (unexplained_imports, [7]),
        (hidden_imports, [4]),
        (casts, [1]),
        (renamed_classes, [2]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_rules_find_what_breaks_them(rule, lines):
    assert list(rule(ast.parse(EXAMPLE), EXAMPLE.splitlines())) == lines


def test_a_file_of_301_lines_is_long():
    assert list(long_file(ast.parse(""), ["pass"] * 300)) == [] and list(long_file(ast.parse(""), ["pass"] * 301)) == [
        301
    ]


def test_stages_save_checkpoints_with_what_the_job_has_counted():
    """A checkpoint that is newer than the noted losses loses those between them when the stage is killed."""
    files = (ROOT / "stages").rglob("*.py")
    direct = [file.relative_to(ROOT).as_posix() for file in files if "checkpoints.save(" in file.read_text("utf-8")]
    assert direct == ["stages/contract/saving.py"]
