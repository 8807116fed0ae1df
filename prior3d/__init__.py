"""Diffusion-prior 3D: fields, rendering, priors, distillation, meshes and the toy world, over tensors.

From Python, whole methods: `prior3d.run("latent-nerf", prompt="a blue mug")`. These names live on the floor above,
`flows/api.py`, and are fetched when they are first asked for, so that the library itself imports nothing from there.
`prior3d/__init__.pyi` tells type checkers about them.
"""

import importlib

from prior3d import open3d_viewer

__all__ = ["Page", "Prior3dError", "Result", "__version__", "load", "methods", "run"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("prior3d")
    if name == "Prior3dError":
        return importlib.import_module("prior3d.errors").Prior3dError
    if name in __all__:
        _check_flows()
        return getattr(importlib.import_module("flows.api"), name)
    raise AttributeError(f"module 'prior3d' has no attribute {name!r}")


def _check_flows() -> None:
    """Hold that `flows` is this project's: a Prefect user's own folder of that name may come first on the path."""
    path = importlib.import_module("pathlib").Path
    found = importlib.import_module("importlib.util").find_spec("flows")
    place = path(found.origin).resolve() if found is not None and found.origin else None
    if place is None or place.parent.parent != path(__file__).resolve().parent.parent:
        where = next(iter(found.submodule_search_locations or []), "") if found is not None else ""
        raise importlib.import_module("prior3d.errors").Prior3dError(
            f"another package called `flows` comes before prior3d's: {where or place}; start Python in another folder, "
            "or with -P, or use the command `prior3d`"
        )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


open3d_viewer.postpone()  # before any module of ours imports Open3D
