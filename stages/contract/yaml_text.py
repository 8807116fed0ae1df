"""YAML 1.2, as DVC reads and writes it: `1e-06` is a number, `on` and `12:30` are texts.

PyYAML by itself reads YAML 1.1. With these rules its loader is three times as fast as ruamel.yaml, which would have to
be imported beside it: stages read their parameters with PyYAML.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from prior3d.errors import Prior3dError
from prior3d.limits import read_bytes

DIGITS = "0123456789"
RULES = {  # tag: pattern, and the characters that a match may begin with
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", list("-+" + DIGITS)),
    "float": (r"[-+]?(?:\.\d+|\d+\.?\d*)(?:[eE][-+]?\d+)?|[-+]?\.inf|\.nan", list("-+." + DIGITS)),
    "merge": (r"<<", ["<"]),
}
ALIAS = re.compile(r"(^|[\s\[{,:])\*[^\s*]", re.MULTILINE)
# Text that may be nested deep: C code that loads it would overflow its stack, and the process would be gone.
INDENTED_DEEP = re.compile(r"^(?:[ \t]|[-?][ \t]){100}", re.MULTILINE)
MOST_NODES, MOST_LEVELS = 100_000, 100
LARGEST_BYTES = 64_000_000


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, list[Any]] = {}


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 takes for more than a text, and by the rules below what YAML 1.2 does: `12e34`, a digest."""


for name, (pattern, first) in RULES.items():
    for reads_or_writes in (_Loader, _Dumper):
        tag, rule = f"tag:yaml.org,2002:{name}", re.compile(f"^(?:{pattern})$")
        reads_or_writes.add_implicit_resolver(tag, rule, first)


def load(text: str) -> Any:
    """Parse one YAML document.

    Raises:
        yaml.YAMLError: it is not valid YAML, or it is nested deeper than `MOST_LEVELS`, or its aliases
            stand for more than `MOST_NODES` values.
    """
    try:
        brackets = text.count("[") + text.count("{")
        if brackets >= MOST_LEVELS or INDENTED_DEEP.search(text) or ALIAS.search(text):
            _check_size(text)
        return yaml.load(text, Loader=_Loader)
    except ValueError as error:  # a number that Python does not read
        raise yaml.YAMLError(str(error)) from None


def read_mapping(path: Path, optional: bool = False) -> dict[str, Any]:
    """The mapping in one of the files of a run's folder that a stage reads; empty where an optional one is not there.

    Raises:
        Prior3dError: it is not there, cannot be read, or holds something else.
    """
    if not path.is_file():
        if optional:
            return {}
        raise Prior3dError(f"{path} is not there; a stage runs in a run's folder, which `prior3d run` makes")
    try:
        values = load(read_bytes(path, LARGEST_BYTES).decode("utf-8")) or {}
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise Prior3dError(f"{path} is not valid YAML: {reason}; give the run command again") from None
    if not isinstance(values, dict):
        raise Prior3dError(f"{path} holds no mapping; give the run command again")
    return values


def dump(values: Any) -> str:
    """Values as YAML that reads back the same by the rules of 1.1 and of 1.2."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def _check_size(text: str) -> None:
    """Count the values that a document stands for, without making them: nine lines of aliases can mean a billion."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
            if len(open_nodes) > MOST_LEVELS:
                raise yaml.YAMLError(f"it is nested deeper than {MOST_LEVELS} levels")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError(f"the alias {event.anchor!r} has no value")
            anchor, size = None, sizes[event.anchor]
        else:
            continue
        if anchor is not None:
            sizes[anchor] = size
        outer, before = open_nodes.pop()
        if before + size > max(MOST_NODES, len(text)):
            raise yaml.YAMLError(f"its aliases stand for more than {MOST_NODES:,} values")
        open_nodes.append((outer, before + size))
