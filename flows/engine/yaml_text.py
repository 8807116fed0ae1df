"""YAML 1.2, as DVC reads and writes it: `1e-06` is a number, `on` and `12:30` are texts.

PyYAML by itself reads YAML 1.1. With these rules its loader is three times as fast as ruamel.yaml, which would have to
be imported beside it: stages read their parameters with PyYAML.
"""

import re
from typing import Any

import yaml

DIGITS = "0123456789"
RULES = {  # tag: pattern, and the characters that a match may begin with
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", list("-+" + DIGITS)),
    "float": (r"[-+]?(?:\.\d+|\d+\.?\d*)(?:[eE][-+]?\d+)?|[-+]?\.inf|\.nan", list("-+." + DIGITS)),
    "merge": (r"<<", ["<"]),
}


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
        yaml.YAMLError: it is not valid YAML.
    """
    return yaml.load(text, Loader=_Loader)


def dump(values: Any) -> str:
    """Values as YAML that reads back the same by the rules of 1.1 and of 1.2."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))
