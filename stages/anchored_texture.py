"""What holds a texture in refinement: the paint that it began as, where a photograph showed it, and the photograph."""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.meshes.painting import Footprints, Surface, weighted_huber
from prior3d.meshes.projection import MIRRORED, PROJECTED, eroded
from stages.artifacts.images import load_object_image
from stages.artifacts.textures import load_partial_texture
from stages.contract.job import Job
from stages.texture_refinement import Params


@dataclass(frozen=True)
class Anchors:
    """A texture to stay near.

    Attributes:
        colours: [resolution, resolution, 3], the texture at the beginning.
        trust: [resolution, resolution], how surely a photograph showed each texel; 0 leaves it free.
        photograph: how a photograph's pixels show the texture, their colours [n, 3] premultiplied by the mesh's
            coverage, and their trust [n]; None without a photograph.
    """

    colours: Tensor
    trust: Tensor
    photograph: tuple[Footprints, Tensor, Tensor] | None

    def losses(self, texture: Tensor, params: Params) -> dict[str, Tensor]:
        """Of the texture [resolution, resolution, 3], differentiable in it."""
        held = weighted_huber(texture.flatten(0, 1), self.colours.flatten(0, 1), self.trust.flatten())
        terms = {"anchor": params.anchor_weight * held}
        if self.photograph is not None:
            seen, wanted, trust = self.photograph
            terms["photograph"] = params.photograph_weight * weighted_huber(seen.colours(texture), wanted, trust)
        return terms


def load_anchors(job: Job, surface: Surface, params: Params) -> Anchors:
    """The anchors in a stage's inputs `paint` and, if it is there, `image`, at the stage's resolution."""
    paint = load_partial_texture(job.inputs["paint"], job.device)
    size = (params.resolution, params.resolution)
    trust = paint.confidence * ((paint.source == PROJECTED) | (paint.source == MIRRORED))
    layers = [paint.colours.movedim(-1, 0)[None], trust[None, None]]
    if paint.confidence.shape != size:
        layers = [functional.interpolate(layer, size, mode="bilinear", align_corners=False) for layer in layers]
    photograph = seen_photograph(job, surface, params) if "image" in job.inputs else None
    return Anchors(layers[0][0].movedim(0, -1), layers[1][0, 0], photograph)


def seen_photograph(job: Job, surface: Surface, params: Params) -> tuple[Footprints, Tensor, Tensor]:
    """What the photograph's pixels show of the texture, and what they should show."""
    image = load_object_image(job.inputs["image"])
    camera = image.viewpoint.cameras(image.size).to(job.device)
    seen = surface.footprints(camera, params.resolution, params.supersampling)
    rgba = torch.from_numpy(image.rgba).to(job.device)
    covered = seen.weights.sum(1)
    colours = rgba[..., :3].reshape(-1, 3)[seen.pixels] * covered[:, None]
    trust = eroded(rgba[..., 3], 1).flatten()[seen.pixels]
    return seen, colours, trust * covered * (covered > 0.99)
