"""The modules in each stage's key: what a change reruns.

`reach.yaml` lists them, so that a reader of a change sees which keys grow. It is written anew by
`WRITE_REACH=1 python -m pytest tests/flows/test_reach.py`.
"""

import os
from pathlib import Path

import pytest
import yaml

from flows.engine.fingerprint import reached
from flows.methods import METHODS

LISTED = Path(__file__).with_name("reach.yaml")
MODULES = sorted({stage.module for method in METHODS.values() for stage in method.stages})
# What stages still take from one another, until it has moved too. Nothing may be added.
BORROWED: dict[str, set[str]] = {}


def test_the_list_is_that_of_today():
    now = {module: sorted(reached(module)) for module in MODULES}
    if os.environ.get("WRITE_REACH"):
        LISTED.write_text(f"# Written by tests/flows/test_reach.py, which says how.\n{yaml.safe_dump(now)}")
    then = yaml.safe_load(LISTED.read_text())
    grown = {m: sorted(set(now[m]) - set(then.get(m, ()))) for m in now}
    assert {m: more for m, more in grown.items() if more} == {}, "these keys have grown; see the top of this file"
    assert then == now, "some keys have shrunk; see the top of this file"


@pytest.mark.parametrize("module", MODULES)
def test_a_stage_reaches_no_other_stage(module):
    """Nor a method: a change in one stage reruns that stage, and what lies behind it if its output changed."""
    allowed = (f"{module}.", "stages.contract.", "stages.artifacts.", "prior3d.")
    others = [name for name in reached(module) - {module, "prior3d"} if not name.startswith(allowed)]
    assert sorted(set(others) - BORROWED.get(module, set())) == []


def test_a_stage_is_known_by_its_declaration_and_its_body():
    for module in MODULES:
        assert {module, f"{module}.stage"} <= reached(module)
