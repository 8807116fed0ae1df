"""The file of a sweep as rows of values: CSV, JSON lines, or YAML with rows and a grid."""

import csv
import io
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.engine.run_files import parse, parse_json
from prior3d.errors import Prior3dError

SUFFIXES = (".csv", ".jsonl", ".yaml", ".yml")
MOST_ROWS = 100_000
MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
YAML_KEYS = ("rows", "grid", "method")


@dataclass(frozen=True)
class Row:
    """One row: where it stands, for messages, and its values by column; what is not given is left out."""

    where: str
    values: dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a sweep's file.

    Raises:
        Prior3dError: it is missing, empty, of another kind, not UTF-8, or a row is not like its head.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise Prior3dError(f"{path}: its ending is {kind!r}; give one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise Prior3dError(f"{path}: there is no such file")
    text = _text(path)
    rows = {".csv": _csv_rows, ".jsonl": _json_rows}.get(kind, _yaml_rows)(path, text)
    if not rows:
        raise Prior3dError(f"{path}: it holds no row; write a head line and one line a run")
    if len(rows) > MOST_ROWS:
        raise Prior3dError(f"{path}: {len(rows):,} rows; split it into files of at most {MOST_ROWS:,}")
    return rows


def _text(path: Path) -> str:
    content = path.read_bytes()
    for mark, name in MARKS.items():
        if content.startswith(mark):
            raise Prior3dError(f"{path}: it is {name}; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Prior3dError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the whole file as UTF-8"
        ) from None
    if not text.strip():
        raise Prior3dError(f"{path}: it is empty; write a head line and one line a run")
    if "\0" in text:
        raise Prior3dError(f"{path}: it holds zero bytes; save it as UTF-8")
    return text


def _csv_rows(path: Path, text: str) -> list[Row]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        head = [name.strip() for name in next(lines)]
        _check_head(path, head)
        for cells in lines:
            where = f"{path}, line {lines.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(head):
                raise Prior3dError(f"{where}: {len(cells)} values, but the head has {len(head)}; quote commas in texts")
            values = dict(zip(head, (cell.strip() for cell in cells), strict=True))
            rows.append(Row(where, {name: value for name, value in values.items() if value}))
    except csv.Error as error:
        raise Prior3dError(f"{path}, line {lines.line_num}: it is no CSV ({error})") from None
    return rows


def _check_head(path: Path, head: list[str]) -> None:
    twice = next((name for name in head if head.count(name) > 1), None)
    if "" in head:
        raise Prior3dError(f"{path}, line 1: column {head.index('') + 1} has no name")
    if twice is not None:
        raise Prior3dError(f"{path}, line 1: two columns are called {twice!r}")


def _json_rows(path: Path, text: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = parse_json(line, dict[str, Any])
        except ValueError as error:
            raise Prior3dError(f"{path}, line {number}: it is no JSON object ({error})") from None
        rows.append(Row(f"{path}, line {number}", _given(values)))
    return rows


def _yaml_rows(path: Path, text: str) -> list[Row]:
    try:
        content = parse(text, Any)
    except ValueError as error:
        raise Prior3dError(f"{path}: it {' '.join(str(error).split())[:160]}") from None
    if isinstance(content, list):
        content = {"rows": content}
    if not isinstance(content, dict):
        raise Prior3dError(f"{path}: write a list of rows, or `rows` and `grid`")
    other = next((key for key in content if key not in YAML_KEYS), None)
    if other is not None:
        raise Prior3dError(f"{path}: {other!r} is none of {', '.join(YAML_KEYS)}")
    rows, grid = content.get("rows") or [{}], content.get("grid") or {}
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Prior3dError(f"{path}: `rows` has to be a list of mappings: column to value")
    if not isinstance(grid, dict) or not all(isinstance(values, list) and values for values in grid.values()):
        raise Prior3dError(f"{path}: `grid` has to be a mapping of columns to lists of values")
    common = {"method": content["method"]} if content.get("method") else {}
    found: list[Row] = []
    for number, row in enumerate(rows, 1):
        both = next((name for name in row if name in grid), None)
        if both is not None:
            raise Prior3dError(f"{path}, row {number}: {both!r} stands in `rows` and in `grid`")
        for place in itertools.product(*grid.values()):
            values = _given(common | row | dict(zip(grid, place, strict=True)))
            found.append(Row(f"{path}, row {len(found) + 1}", values))
    return [row for row in found if set(row.values) - {"method"}]


def _given(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Values without those that are empty; parameters may be nested: `stage: {name: value}`."""
    found: dict[str, Any] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name}.{key}", inner)
        elif value is not None and value != "":
            found[name] = value

    for key, value in values.items():
        add(str(key), value)
    return found


def as_text(value: Any) -> str:
    """A value as it stands on a command line: texts as they are, others as YAML."""
    return value if isinstance(value, str) else json.dumps(value)
