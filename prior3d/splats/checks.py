"""What is asked of a file of splats before its numbers take memory, and of the numbers before they are used."""

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.splats.model import HIGHEST_DEGREE, NAMES, Splats, SplatsConfig

MOST_SPLATS = 5_000_000  # 1.2 GB of numbers with colours of degree 3
LARGEST_SCALE = 30.0  # of a scale's logarithm; beyond it a Gaussian's covariance overflows


class BadSplats(ValueError):
    """A file holds no splats that can be used; the message says what is wrong, and goes on from 'FILE: '."""


def check_count(count: int, bytes_each: int, n_bytes: int) -> None:
    """Hold the number of Gaussians that a file claims against its length (raises BadSplats)."""
    if not 0 < count <= MOST_SPLATS:
        fewer = ": leave some out" if count > MOST_SPLATS else ""
        raise BadSplats(f"it claims {count:,} Gaussians; 1 to {MOST_SPLATS:,} are read{fewer}")
    if n_bytes < count * bytes_each:
        raise BadSplats(
            f"it is cut off: {count:,} Gaussians take {count * bytes_each:,} bytes, and {n_bytes:,} are there"
        )


def degree_of(n_numbers: int, what: str) -> int:
    """The degree of the harmonics that have so many numbers besides the first three (raises BadSplats)."""
    known = {3 * ((degree + 1) ** 2 - 1): degree for degree in range(HIGHEST_DEGREE + 1)}
    if n_numbers not in known:
        raise BadSplats(f"it has {n_numbers} {what}; splats have {', '.join(map(str, known))}")
    return known[n_numbers]


@torch.no_grad()
def filled(
    means: Float[Tensor, "splats 3"],
    quats: Float[Tensor, "splats 4"],
    scales: Float[Tensor, "splats 3"],
    opacities: Float[Tensor, "splats"],
    sh0: Float[Tensor, "splats 3"],
    rest: Float[Tensor, "splats coefficients 3"],
    degree: int,
) -> Splats:
    """Splats of tensors in their own units (raises BadSplats where a value cannot be used)."""
    splats = Splats(SplatsConfig(len(means), degree))
    for name, values in zip(NAMES, (means, quats, scales, opacities, sh0[:, None], rest), strict=True):
        broken = (~values.isfinite()).flatten(1).any(1) if values.ndim > 1 else ~values.isfinite()
        if bool(broken.any()):
            first = int(broken.nonzero()[0, 0])
            raise BadSplats(f"{name} of {int(broken.sum()):,} Gaussians is not finite, first of number {first}")
        getattr(splats, name).copy_(values)
    if float(scales.max()) > LARGEST_SCALE:
        raise BadSplats(f"a Gaussian has a scale of e^{float(scales.max()):.0f}; scales are natural logarithms")
    if bool((quats.norm(dim=-1) == 0).any()):
        raise BadSplats("a Gaussian's rotation is 0, 0, 0, 0, which is none")
    return splats
