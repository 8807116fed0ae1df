"""A digest of the code that draws splats and makes their mesh.

Stages behind a fit import that code by its name, so it is not in their keys: keys of methods without splats stay as
they are. It is in the key of the stage that makes splats, which writes this digest beside them. So other code makes
another artifact, and all stages that take it run again. A comment or a docstring changes nothing.
"""

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

DRAWS_SPLATS = (
    "prior3d.meshes.extraction", "prior3d.splats.field", "prior3d.splats.gpu", "prior3d.splats.harmonics_loops",
    "prior3d.splats.kernels",
    "prior3d.splats.model", "prior3d.splats.pairs", "prior3d.splats.projection", "prior3d.splats.projection_loops",
    "prior3d.splats.render", "prior3d.splats.solid", "prior3d.splats.surface", "stages.artifacts.splats",
)  # fmt: skip


@cache
def digest_of_code(modules: tuple[str, ...] = DRAWS_SPLATS) -> str:
    """16 hexadecimal digits of what these modules say to Python."""
    together = hashlib.sha256()
    for name in modules:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise ModuleNotFoundError(f"no source file of module {name} was found", name=name)
        together.update(f"{name} {code_of(Path(found.origin).read_bytes())}\n".encode())
    return together.hexdigest()[:16]


def code_of(source: bytes) -> str:
    """A module's code without comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
        ):
            node.body[0] = ast.Pass()
    return ast.dump(tree)
