"""Splats turned, colours by direction with them: the axes of the files that other programs read."""

import math

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.splats.model import Splats, SplatsConfig, real_harmonics

# Rows are the file's axes in our world, where z is up and the front looks along x.
Y_UP = ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))  # glTF and SPZ: x right, y up, the front along z
Y_DOWN = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0))  # COLMAP, and with it PLY and .splat
N_DIRECTIONS = 200
AT_ONCE = 2**18  # Gaussians


@torch.no_grad()
def turned(splats: Splats, rows: tuple[tuple[float, ...], ...], back: bool = False) -> Splats:
    """A copy whose coordinates are along other axes; `back` turns what has those axes into our world."""
    rotation = torch.tensor(rows, dtype=torch.float64)
    rotation = rotation.T if back else rotation
    config = splats.config
    made = Splats(SplatsConfig(config.n_splats, config.sh_degree, config.is_object, config.bound))
    made.means.copy_(splats.means.double().cpu() @ rotation.T)
    made.quats.copy_(_turned_quats(splats.quats.double().cpu(), rotation))
    for name in ("scales", "opacities", "sh0"):
        getattr(made, name).copy_(getattr(splats, name).cpu())
    if config.sh_degree:
        matrix = _turned_harmonics(rotation, config.sh_degree)
        for begin in range(0, config.n_splats, AT_ONCE):  # in parts: twice as many bytes as the harmonics, else
            part = splats.shN[begin : begin + AT_ONCE].double().cpu()
            made.shN[begin : begin + AT_ONCE] = torch.einsum("ij,njc->nic", matrix[1:, 1:], part).float()
    return made.requires_grad_(False)


def _turned_quats(quats: Float[Tensor, "splats 4"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "splats 4"]:
    """[n, 4] unit (w, x, y, z): each rotation, followed by one that is no half turn."""
    w = math.sqrt(max(float(1 + rotation.trace()), 0.0)) / 2
    x, y, z = ((rotation[i, j] - rotation[j, i]) / (4 * w) for i, j in ((2, 1), (0, 2), (1, 0)))
    a, b, c, d = functional.normalize(quats, dim=-1).unbind(-1)
    return torch.stack(
        [
            w * a - x * b - y * c - z * d, w * b + x * a + y * d - z * c,
            w * c - x * d + y * a + z * b, w * d + x * c - y * b + z * a,
        ],
        -1,
    )  # fmt: skip


def _turned_harmonics(rotation: Float[Tensor, "3 3"], degree: int) -> Float[Tensor, "coefficients coefficients"]:
    """What coefficients become: found by the values in many directions, which the coefficients reach exactly."""
    generator = torch.Generator().manual_seed(0)
    there = functional.normalize(torch.randn(N_DIRECTIONS, 3, dtype=torch.float64, generator=generator), dim=-1)
    solved: Float[Tensor, "coefficients coefficients"] = torch.linalg.lstsq(
        real_harmonics(there, degree), real_harmonics(there @ rotation, degree)
    ).solution
    return solved
