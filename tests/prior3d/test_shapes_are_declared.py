"""Every public function of the library says the shapes of its tensors and arrays, and the tests check them."""

import ast
from pathlib import Path

import jaxtyping
import pytest
import torch

import prior3d
from prior3d.cameras import Cameras, Orbit, orbit_cameras
from prior3d.losses.regularisers import distortion

LIBRARY = Path(prior3d.__file__).parent
EXCEPTIONS: dict[str, str] = {}  # "room/file.py:Class.method" and why it has tensors without a shape
ARRAYS = {"Tensor", "ndarray", "NDArray", "ArrayLike"}
SHAPED = {"Bool", "Float", "Float32", "Int", "Integer", "Num", "Real", "Shaped", "UInt8", "UInt32"}  # of jaxtyping


def public_signatures(file: Path) -> dict[str, list[ast.expr]]:
    """Annotations of each public function, method and class with fields in a file, by dotted name."""
    found: dict[str, list[ast.expr]] = {}

    def visit(body: list[ast.stmt], scope: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                fields = [part.annotation for part in node.body if isinstance(part, ast.AnnAssign)]
                found[f"{scope}{node.name}"] = fields
                visit(node.body, f"{scope}{node.name}.")
            elif isinstance(node, ast.FunctionDef) and (node.name.startswith("__") or not node.name.startswith("_")):
                given = node.args
                arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
                hints = [argument.annotation for argument in arguments if argument] + [node.returns]
                found[f"{scope}{node.name}"] = [hint for hint in hints if hint]

    visit(ast.parse(file.read_text()).body, "")
    return found


def arrays_of(hint: ast.AST, *, shaped: bool = False) -> list[bool]:
    """For each tensor or array in a hint, whether it has a shape: `Float[Tensor, "views 3"]` has."""
    if isinstance(hint, ast.Name | ast.Attribute):
        name = hint.id if isinstance(hint, ast.Name) else hint.attr
        return [shaped] if name in ARRAYS else []
    if isinstance(hint, ast.Constant) and isinstance(hint.value, str):
        return [] if shaped else [False for name in ARRAYS if name in hint.value]
    declares = isinstance(hint, ast.Subscript) and isinstance(hint.value, ast.Name) and hint.value.id in SHAPED
    return [answer for part in ast.iter_child_nodes(hint) for answer in arrays_of(part, shaped=shaped or declares)]


def without_shape(files: list[Path]) -> tuple[list[str], int]:
    """Names of what has a tensor or array without a shape, and how many have any tensor or array."""
    missing, n_all = [], 0
    for file in files:
        for name, hints in public_signatures(file).items():
            answers = [answer for hint in hints for answer in arrays_of(hint)]
            n_all += bool(answers)
            if not all(answers):
                missing.append(f"{file.relative_to(LIBRARY)}:{name}")
    return missing, n_all


def files_of(room: str) -> list[Path]:
    return sorted((LIBRARY / room).rglob("*.py")) or [LIBRARY / f"{room}.py"]


def test_shapes_are_told_from_bare_tensors():
    def answers(hint: str) -> list[bool]:
        return arrays_of(ast.parse(hint, mode="eval").body)

    assert answers("Tensor") == answers("torch.Tensor | None") == answers("'Tensor'") == [False]
    assert answers("NDArray[np.float32]") == answers("dict[str, np.ndarray]") == [False]
    assert answers('Float[Tensor, "views 3"]') == answers('list[Int[np.ndarray, "faces 3"]] | None') == [True]
    assert answers('tuple[Float[Tensor, "n"], Tensor]') == [True, False]
    assert answers("dict[str, float]") == []


def test_nearly_all_tensors_have_a_shape(rooms_not_checked_yet):
    files = [
        file
        for file in sorted(LIBRARY.rglob("*.py"))
        if file.relative_to(LIBRARY).parts[0] not in rooms_not_checked_yet
    ]
    missing, n_all = without_shape(files)
    assert n_all > 200
    assert sorted(missing) == sorted(EXCEPTIONS)
    assert 1 - len(missing) / n_all >= 0.95


def test_no_room_that_is_done_is_still_left_out(rooms_not_checked_yet):
    for room in rooms_not_checked_yet:
        assert without_shape(files_of(room))[0], (
            f"{room} has all its shapes: take it out of NOT_CHECKED_YET in conftest.py"
        )


def test_a_wrong_shape_is_refused_while_tests_run():
    with pytest.raises(jaxtyping.TypeCheckError, match="rays samples"):
        distortion(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(jaxtyping.TypeCheckError, match="fov_deg"):
        Orbit(torch.zeros(2), torch.zeros(2), torch.zeros(2), torch.zeros(3))
    with pytest.raises(jaxtyping.TypeCheckError, match="Cameras"):
        distortion(Cameras(torch.eye(4)[None], torch.ones(1), 2, 2), torch.zeros(2, 3), torch.zeros(2, 3))


def test_a_right_shape_passes():
    orbit = Orbit(*torch.zeros(4, 2).unbind())
    assert orbit_cameras(orbit, 4, 6).views == 2
