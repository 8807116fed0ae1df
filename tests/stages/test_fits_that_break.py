"""Whatever fits something stops where a value is not finite, and names the term and what to turn.

How the loops stop is tested with them: tests/prior3d/test_optimisation.py, tests/stages/training/test_trainer.py,
tests/prior3d/meshes/test_picture_on_mesh.py. Here no other loop may come to be, and every fit says what to turn.
"""

import ast
import importlib
import re
from pathlib import Path

import pytest

from prior3d.optimisation import LOWER
from stages.contract.entry import stage_names
from tests.stages.test_parameters import fields

ROOT = Path(__file__).resolve().parents[2]
LOOPS = {
    "prior3d/optimisation.py": "the loop of all fits: losses and gradients by name",
    "stages/training/trainer.py": "the loop of all trainings",
    "prior3d/meshes/silhouette_fit.py": "80 steps of seconds, without a checkpoint: looks at every tenth",
    "prior3d/fields/tiled.py": "the derivative of a render in tiles, within a step of the loop",
    "prior3d/dataset_update/edited_splats.py": "how much pixels see of each Gaussian: the adjoint of a render, no fit",
    "prior3d/distillation/vsd.py": "a LoRA's gradient within a step of the loop, which looks at it",
}
SHARED = "prior3d/reconstruction/sparse_fit.py"  # of three stages: its advice begins below theirs
DOTTED = re.compile(r"\b[a-z_0-9]+(?:\.[a-z_0-9]+)+\b")


def calls():
    """Every call in `prior3d` and `stages`: module, node."""
    for floor in ("prior3d", "stages"):
        for file in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield file.relative_to(ROOT).as_posix(), node


def fits():
    """Every call of the loop: module, its keywords."""
    found = [(module, node) for module, node in calls() if ast.unparse(node.func).rpartition(".")[2] == "optimise"]
    return [(module, {word.arg: ast.unparse(word.value) for word in node.keywords}) for module, node in found]


def advices(module, word):
    """What a call says to turn: a constant, a text, or, where what is fitted has several kinds, each kind's own."""
    place = importlib.import_module(module.removesuffix(".py").replace("/", "."))
    if word.endswith(".advice"):
        kinds = [other.stem for other in (ROOT / module).parent.glob("*.py") if "DIVERGED" in other.read_text()]
        return [importlib.import_module(f"{place.__package__}.{kind}").DIVERGED for kind in kinds]
    return [getattr(place, word, None) or ast.literal_eval(word)]


def test_nobody_descends_by_a_loop_of_their_own():
    step = re.compile(r"(\.backward|autograd\.grad|autograd\.backward|optimi[sz]er\.step)$")
    assert {module for module, node in calls() if step.search(ast.unparse(node.func))} == set(LOOPS)


def test_every_fit_is_found():
    modules = [module for module, _ in fits()]
    assert len(modules) >= 10 and SHARED in modules
    assert all(re.fullmatch(r"stages/\w+/\w+\.py", module) for module in modules if module != SHARED)


@pytest.mark.parametrize(("module", "words"), fits(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_fit_saves_is_watched_and_says_what_to_turn(module, words):
    assert {"advice", "checkpoint", "monitor", "seeds", "modules"} <= words.keys()
    said = advices(module, words["advice"])
    assert said and all(DOTTED.search(advice) and advice != LOWER for advice in said)
    names = [name for advice in said for name in DOTTED.findall(advice)]
    stages = [module.split("/")[1]] if module != SHARED else ["view_symmetry", "view_fit", "view_distillation"]
    assert set(stages) <= set(stage_names())
    for stage in stages:
        known = fields(importlib.import_module(f"stages.{stage}").Params)
        for name in names:
            below = name.removeprefix(f"{stage}.")
            assert any(each == below or each.startswith(f"{below}.") for each in known), (stage, name)
