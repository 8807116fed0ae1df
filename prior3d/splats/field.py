"""Fitted splats as the later stages of a method use them: images, a surface, and the colours of a surface."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from prior3d.cameras import Cameras, orbit_cameras, ring
from prior3d.splats.model import Splats, SplatsConfig
from prior3d.splats.render import median_depths, render_splats
from prior3d.splats.solid import solid_surface
from prior3d.splats.surface import fused_surface, seen_colours

GREY = 0.5  # behind a place that was not filled
EPSILON = 1e-15  # of Adam, as in 3DGS: a Gaussian that few pixels see has a small gradient
# Learning rates of the tensors, relative to the one that is asked for
SHARES = {"means": 0.3, "quats": 0.5, "scales": 1.0, "opacities": 5.0, "sh0": 2.0, "shN": 0.2}


@dataclass(frozen=True)
class SplatsField:
    """Splats, and the cameras that they were fitted to: what those saw is what there is.

    Attributes:
        splats: the Gaussians.
        cameras: [views].
    """

    splats: Splats
    cameras: Cameras

    @property
    def config(self) -> SplatsConfig:
        """What the splats are made of."""
        return self.splats.config

    def parameters(self) -> Iterator[nn.Parameter]:
        """All trainable tensors."""
        return self.splats.parameters()

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is trained, by the name that checkpoints use."""
        return {"splats": self.splats}

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups for an optimiser: each tensor has a part or a multiple of the rate."""
        return [
            {"params": [getattr(self.splats, name)], "lr": share * learning_rate, "eps": EPSILON}
            for name, share in SHARES.items()
        ]

    def draw(
        self, camera: Cameras, background: Float[Tensor, "3"]
    ) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
        """The image of one camera over a background, and its opacity; differentiable to the splats."""
        seen = render_splats(self.splats, camera, background)
        return seen.colours, seen.opacity

    @torch.no_grad()
    def render_views(
        self, cameras: Cameras, background: Float[Tensor, "3"]
    ) -> tuple[Float[Tensor, "views height width 3"], Float[Tensor, "views height width"]]:
        """Images over a background, and their opacity; a place has grey behind it, whatever is asked for."""
        behind = background if self.config.is_object else torch.full_like(background, GREY)
        found = [render_splats(self.splats, cameras[view], behind) for view in range(cameras.views)]
        return torch.stack([part.colours for part in found]), torch.stack([part.opacity for part in found])

    def surface(self, resolution: int) -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "faces 3"]]:
        """The surface inside the box, at so many voxels along its side: median depths, fused, or a solid's surface."""
        cameras = self.cameras
        if self.config.meshed_by == "density":
            solid = solid_surface(self.splats, cameras, resolution)
            return solid.vertices, solid.faces
        depths = torch.stack([median_depths(self.splats, cameras[view]) for view in range(cameras.views)])
        mesh = fused_surface(cameras, depths, self.config.bound, resolution)
        return mesh.vertices, mesh.faces

    def surface_colours(
        self, points: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points 3"]:
        """Colours [n, 3] of points of a surface with unit normals [n, 3], as the cameras see them."""
        return seen_colours(self.splats, self.cameras, points, normals, solid=self.config.meshed_by == "density")


def cameras_around(size: int = 256) -> Cameras:
    """Cameras for splats of which nobody knows what they were fitted to: three rings round the box."""
    rings = [ring(n, elevation_deg=elevation) for n, elevation in ((8, -20.0), (12, 10.0), (8, 45.0))]
    parts = [orbit_cameras(each, size, size) for each in rings]
    return Cameras(torch.cat([p.c2w for p in parts]), torch.cat([p.fov_deg for p in parts]), size, size)
