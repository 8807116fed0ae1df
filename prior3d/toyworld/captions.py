"""What training says about a render: the object's caption, the view word and the background."""

import numpy as np
from jaxtyping import Float


def sample_views(
    rng: np.random.Generator, n_views: int
) -> tuple[Float[np.ndarray, "views"], Float[np.ndarray, "views"]]:
    """Draw cameras: azimuth_deg and elevation_deg, each [n_views]; one view in twelve looks from overhead."""
    azimuth_deg = rng.uniform(0, 360, n_views)
    overhead = rng.random(n_views) < 1 / 12
    elevation_deg = np.where(overhead, rng.uniform(60, 85, n_views), rng.uniform(-10, 60, n_views))
    return azimuth_deg, elevation_deg


def full_caption(caption: str, view: str | None, background: str | None) -> str:
    """Join the parts as training does, e.g. `a blue mug, side view, white background`."""
    return ", ".join([caption, *([view] if view else []), *([f"{background} background"] if background else [])])
