"""Gaussian splats of a scene: anisotropic 3D Gaussians with an opacity and a colour by direction (Kerbl et al. 2023).

The names and the units of the tensors are gsplat's and nerfstudio's: `scales` are logarithms, `opacities` are logits,
`quats` are (w, x, y, z) and need not be unit, `sh0` and `shN` are coefficients of spherical harmonics.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

HIGHEST_DEGREE = 3
SH_CONSTANT = 0.28209479177387814  # of the harmonic that all directions share: colour = 0.5 + SH_CONSTANT * sh0
NAMES = ("means", "quats", "scales", "opacities", "sh0", "shN")


@dataclass(frozen=True)
class SplatsConfig:
    """What a set of splats is made of; with the tensors it is the whole set.

    Attributes:
        n_splats: Gaussians.
        sh_degree: of the colour's dependence on the direction, 0 to 3.
        is_object: whether nothing lies behind them; else they are a place, all round the cameras.
        bound: half the side of the box whose content is an object, in world units.
        head: always colours.
        meshed_by: what their surface is: where images agree in depth, or where their density is high.
    """

    n_splats: int
    sh_degree: int = 1
    is_object: bool = True
    bound: float = 1.0
    head: Literal["rgb"] = "rgb"
    kind: Literal["splats"] = "splats"
    meshed_by: Literal["depths", "density"] = "depths"

    @property
    def n_coefficients(self) -> int:
        """Spherical harmonics a colour channel, besides the one that all directions share."""
        return int((self.sh_degree + 1) ** 2) - 1


class Splats(nn.Module):
    """A set of Gaussians.

    Attributes:
        means: [n, 3] centres, in world units.
        quats: [n, 4] rotations (w, x, y, z), of any length above 0.
        scales: [n, 3] natural logarithms of the standard deviations along the Gaussian's axes.
        opacities: [n] logits.
        sh0: [n, 1, 3] what all directions see.
        shN: [n, coefficients, 3] what differs by direction.

    Example:
        >>> splats = Splats(SplatsConfig(n_splats=2))
        >>> splats.means.shape, splats.shN.shape
        (torch.Size([2, 3]), torch.Size([2, 3, 3]))
    """

    def __init__(self, config: SplatsConfig):
        """All at the origin, small, grey and half open."""
        super().__init__()
        self.config = config
        n = config.n_splats
        self.means = nn.Parameter(torch.zeros(n, 3))
        self.quats = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(n, 1))
        self.scales = nn.Parameter(torch.full((n, 3), -3.0))
        self.opacities = nn.Parameter(torch.zeros(n))
        self.sh0 = nn.Parameter(torch.zeros(n, 1, 3))
        # without an element there is nothing to train, and no largest value to look at
        self.shN = nn.Parameter(torch.zeros(n, config.n_coefficients, 3), requires_grad=config.n_coefficients > 0)

    @property
    def coefficients(self) -> Float[Tensor, "splats coefficients 3"]:
        """[n, (degree + 1)^2, 3] all of them."""
        return torch.cat([self.sh0, self.shN], 1)

    def rotations(self) -> Float[Tensor, "splats 3 3"]:
        """[n, 3, 3] from the Gaussians' axes to the world's."""
        return rotation_matrices(self.quats)


def rotation_matrices(quats: Float[Tensor, "splats 4"]) -> Float[Tensor, "splats 3 3"]:
    """[n, 3, 3] rotations of quaternions [n, 4] (w, x, y, z) of any length."""
    w, x, y, z = functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).view(-1, 3, 3)


def colours_along(
    coefficients: Float[Tensor, "splats coefficients 3"], directions: Float[Tensor, "splats 3"]
) -> Float[Tensor, "splats 3"]:
    """[n, 3] colours, at least 0, of Gaussians that are looked at along unit directions [n, 3] from the camera."""
    values = real_harmonics(directions, round(coefficients.shape[1] ** 0.5) - 1)
    summed: Tensor = (values[..., None] * coefficients).sum(1)
    return (summed + 0.5).clamp_min(0)


def real_harmonics(directions: Float[Tensor, "splats 3"], degree: int) -> Float[Tensor, "splats coefficients"]:
    """[n, (degree + 1)^2] spherical harmonics of unit directions, in the order and with the signs of 3DGS."""
    x, y, z = directions.unbind(-1)
    values = [torch.full_like(x, SH_CONSTANT)]
    if degree >= 1:
        values += [-0.48860251190291987 * y, 0.48860251190291987 * z, -0.48860251190291987 * x]
    if degree >= 2:
        xx, yy, zz = x * x, y * y, z * z
        values += [
            1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (2 * zz - xx - yy),
            -1.0925484305920792 * x * z, 0.5462742152960396 * (xx - yy),
        ]  # fmt: skip
    if degree >= 3:
        values += [
            -0.5900435899266435 * y * (3 * xx - yy), 2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4 * zz - xx - yy), 0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
            -0.4570457994644658 * x * (4 * zz - xx - yy), 1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ]  # fmt: skip
    return torch.stack(values, -1)
