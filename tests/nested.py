"""Parameters as tests write them: `{"refresh.n_views": 4}` stands for `{"refresh": {"n_views": 4}}`."""

from typing import Any


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Groups out of dotted names; values that are groups already are merged."""
    from stages.contract.parameters import merged

    found: dict[str, Any] = {}
    for name, value in dict(values).items():
        *groups, last = name.split(".")
        part: dict[str, Any] = {last: value}
        for group in reversed(groups):
            part = {group: part}
        found = merged(found, part)
    return found
