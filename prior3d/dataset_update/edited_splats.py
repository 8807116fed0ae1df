"""A scene of Gaussian splats, as its edit by an instruction sees it: the nodes of its surfaces are the Gaussians.

How much a pixel shows of a Gaussian is the gradient of the pixel's colour to the Gaussian's. So values go from images
to Gaussians by the gradient of a render, and back by a render with the values in place of colours, on every device.
"""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.splats.field import SplatsField
from prior3d.splats.model import NAMES, SH_CONSTANT, Splats, SplatsConfig
from prior3d.splats.render import render_splats

CHANNELS = 3  # of a render


@dataclass(frozen=True)
class SplatSurfaces:
    """Splats that stay as they are, and the cameras that look at them.

    Attributes:
        splats: before the edit, in one grey.
        cameras: of the capture's images.
    """

    splats: Splats
    cameras: Cameras

    def gather(
        self, maps: Float[Tensor, "views channels height width"]
    ) -> tuple[Float[Tensor, "rows channels"], Float[Tensor, " rows"]]:
        """Mean over all pixels that see a Gaussian of what they show, and how much it is seen; nothing seen is 0."""
        with_ones = torch.cat([maps, torch.ones_like(maps[:, :1])], 1)
        parts = [self._summed(part) for part in with_ones.split(CHANNELS, 1)]
        sums = torch.cat(parts, 1)[:, : with_ones.shape[1]]
        return sums[:, :-1] / sums[:, -1:].clamp_min(1e-8), sums[:, -1]

    @torch.no_grad()
    def render(self, values: Float[Tensor, "rows channels"]) -> Float[Tensor, "views channels height width"]:
        """Values of Gaussians as the cameras see them, over zeros."""
        lowest = values.amin().clamp_max(0.0)  # a render shows no colour below 0: it is added, and taken off again
        images = []
        for part in (values - lowest).split(CHANNELS, 1):
            colours = torch.nn.functional.pad(part, (0, CHANNELS - part.shape[1]))
            painted = _painted(self.splats, (colours[:, None] - 0.5) / SH_CONSTANT)
            seen = [render_splats(painted, self.cameras[view]) for view in range(self.cameras.views)]
            image = torch.stack([one.colours + lowest * one.opacity[..., None] for one in seen])
            images.append(image[..., : part.shape[1]])
        return torch.cat(images, -1).movedim(-1, 1)

    @torch.enable_grad()
    def _summed(self, maps: Float[Tensor, "views channels height width"]) -> Float[Tensor, "rows 3"]:
        """[n, 3] what all pixels show in up to three channels, by how much each pixel sees of a Gaussian."""
        total = torch.zeros_like(self.splats.sh0[:, 0])
        for view in range(self.cameras.views):
            grey = torch.zeros_like(self.splats.sh0).requires_grad_()
            image = render_splats(_painted(self.splats, grey), self.cameras[view]).colours
            shown = (image[..., : maps.shape[1]] * maps[view].movedim(0, -1)).sum()
            total += torch.autograd.grad(shown, grey)[0][:, 0] / SH_CONSTANT
        return total


@dataclass(frozen=True)
class EditedSplats:
    """Splats that are fitted to edited images.

    Attributes:
        field: as they are now.
        surfaces: of the splats before the edit.
    """

    field: SplatsField
    surfaces: SplatSurfaces

    @property
    def device(self) -> torch.device:
        """Where the splats lie."""
        return self.field.splats.means.device

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is fitted, by the name that checkpoints use."""
        return self.field.modules

    @property
    def tables(self) -> tuple[Float[Tensor, "gaussians ..."], ...]:
        """What is fitted of each Gaussian: tensors whose rows are the Gaussians."""
        tensors = [getattr(self.field.splats, name) for name in NAMES]
        return tuple(tensor for tensor in tensors if tensor.requires_grad)

    def render(self, cameras: Cameras, background: float) -> Float[Tensor, "views 3 height width"]:
        """What the splats show of some views, in [0, 1]."""
        behind = torch.full((3,), background, device=self.device)
        return self.field.render_views(cameras, behind)[0].movedim(-1, 1).clamp(0, 1)


def splat_surfaces_now(splats: Splats, cameras: Cameras) -> SplatSurfaces:
    """The surfaces of splats as they are now; a copy, so later fitting does not change them."""
    grey = torch.zeros_like(splats.sh0)
    return SplatSurfaces(_painted(copy.deepcopy(splats).requires_grad_(False), grey), cameras)


def _painted(splats: Splats, sh0: Float[Tensor, "splats 1 3"]) -> Splats:
    """The same Gaussians in colours that all directions share; a gradient reaches the colours."""
    config = splats.config
    painted = Splats(SplatsConfig(config.n_splats, 0, config.is_object, config.bound))
    for name in NAMES[:-2]:
        setattr(painted, name, getattr(splats, name))
    del painted.sh0, painted.shN
    painted.sh0, painted.shN = sh0, sh0[:, :0]  # type: ignore[assignment]  # no parameters here
    return painted
