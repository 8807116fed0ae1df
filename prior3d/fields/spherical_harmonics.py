"""What depends smoothly on a direction: sums of real spherical harmonics."""

import torch
from jaxtyping import Float
from torch import Tensor


def spherical_harmonics(
    directions: Float[Tensor, "*directions 3"], degree: int
) -> Float[Tensor, "*directions coefficients"]:
    """Real spherical harmonics of unit directions [n, 3]: [n, (degree + 1)^2], without their constant factors."""
    x, y, z = directions.unbind(-1)
    values = [torch.ones_like(x)]
    if degree >= 1:
        values += [x, y, z]
    if degree >= 2:
        values += [x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1]
    return torch.stack(values, -1)
