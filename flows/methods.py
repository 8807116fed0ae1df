"""The list of methods."""

from difflib import get_close_matches

from flows import latent_nerf, latent_paint, make_it_3d, realfusion, retexture, sketch_shape
from flows.engine.method import Method
from prior3d.errors import Prior3dError

METHODS: dict[str, Method] = {
    m.METHOD.name: m.METHOD for m in (latent_nerf, sketch_shape, latent_paint, realfusion, make_it_3d, retexture)
}


def find_method(name: str) -> Method:
    """A method by name (raises Prior3dError with the nearest one)."""
    if name in METHODS:
        return METHODS[name]
    near = get_close_matches(name, METHODS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"methods: {', '.join(METHODS)}"
    raise Prior3dError(f"there is no method {name!r}; {hint}")
