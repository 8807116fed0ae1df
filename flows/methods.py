"""The list of methods."""

from flows import (
    instruct_nerf2nerf,
    latent_nerf,
    latent_paint,
    make_it_3d,
    quick,
    realfusion,
    retexture,
    scene,
    sketch_shape,
    sparsefusion,
    splats,
)
from flows.engine.method import Method
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (
        quick,
        latent_nerf,
        sketch_shape,
        latent_paint,
        realfusion,
        make_it_3d,
        retexture,
        sparsefusion,
        scene,
        instruct_nerf2nerf,
        splats,
    )
}


def find_method(name: str) -> Method:
    """A method by name (raises Prior3dError with the nearest one)."""
    if name in METHODS:
        return METHODS[name]
    hint = did_you_mean(name, METHODS, f"methods: {', '.join(METHODS)}")
    raise Prior3dError(f"there is no method {name!r}; {hint}")
