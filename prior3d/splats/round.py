"""Round splats at given points."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from prior3d.splats.model import SH_CONSTANT, Splats, SplatsConfig

START_OPACITY = 0.2
NEIGHBOURS = 3


def splats_at(points: Float[Tensor, "points 3"], colours: Float[Tensor, "points 3"], config: SplatsConfig) -> Splats:
    """Round Gaussians at points [n, 3] with colours [n, 3], as large as the distance to their nearest neighbours."""
    size = gaps(points)
    splats = Splats(config)
    with torch.no_grad():
        splats.means.copy_(points)
        splats.scales.copy_(size.log()[:, None].expand(-1, 3))
        splats.opacities.fill_(float(np.log(START_OPACITY / (1 - START_OPACITY))))
        splats.sh0.copy_(((colours - 0.5) / SH_CONSTANT)[:, None])
    return splats


def gaps(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """[n] the root of the mean squared distance to the nearest neighbours."""
    places = points.double().numpy()
    near = cKDTree(places).query(places, k=NEIGHBOURS + 1)[0][:, 1:]
    return torch.from_numpy(np.sqrt((near**2).mean(1))).float().clamp(1e-4, 1.0)
