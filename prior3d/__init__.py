"""Diffusion-prior 3D: fields, rendering, priors, distillation, meshes and the toy world, over tensors.

From Python, whole methods: `prior3d.run("latent-nerf", prompt="a blue mug")`. These names live on the floor above,
`flows/api.py`, and are fetched when they are first asked for, so that the library itself imports nothing from there.
`prior3d/__init__.pyi` tells type checkers about them.
"""

import importlib

__all__ = ["Page", "Prior3dError", "Result", "__version__", "load", "methods", "run"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("prior3d")
    if name == "Prior3dError":
        return importlib.import_module("prior3d.errors").Prior3dError
    if name in __all__:
        return getattr(importlib.import_module("flows.api"), name)
    raise AttributeError(f"module 'prior3d' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
