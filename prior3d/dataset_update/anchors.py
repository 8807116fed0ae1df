"""What holds a texture in refinement: the paint that it began as, where a photograph showed it, and the photograph."""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.images.object_image import ObjectImage
from prior3d.meshes.painting import Surface, TexelWeights, weighted_huber
from prior3d.meshes.projection import MIRRORED, PROJECTED, PartialTexture, erode
from prior3d.settings.textures import AnchorSettings


@dataclass(frozen=True)
class ImageAnchor:
    """How an image's pixels show a texture.

    Attributes:
        texel_weights: of the pixels that show the mesh.
        colours: that they should show, premultiplied by the mesh's coverage.
        trust: in [0, 1].
    """

    texel_weights: TexelWeights
    colours: Float[Tensor, "n 3"]
    trust: Float[Tensor, " n"]


@dataclass(frozen=True)
class Anchors:
    """A texture to stay near.

    Attributes:
        colours: the texture at the beginning.
        trust: how surely a photograph showed each texel; 0 leaves it free.
        image: the photograph, where there is one.
    """

    colours: Float[Tensor, "resolution resolution 3"]
    trust: Float[Tensor, "resolution resolution"]
    image: ImageAnchor | None

    def losses(
        self, texture: Float[Tensor, "resolution resolution 3"], settings: AnchorSettings
    ) -> dict[str, Float[Tensor, ""]]:
        """Weighted distances of a texture, differentiable in it."""
        held = weighted_huber(texture.flatten(0, 1), self.colours.flatten(0, 1), self.trust.flatten())
        terms = {"anchor": settings.paint_weight * held}
        if self.image is not None:
            rendered = self.image.texel_weights.colours(texture)
            terms["image"] = settings.image_weight * weighted_huber(rendered, self.image.colours, self.image.trust)
        return terms


def anchors_of(
    paint: PartialTexture, surface: Surface, image: ObjectImage | None, resolution: int, supersampling: int
) -> Anchors:
    """The anchors in a partial texture and, if there is one, in the image that it was projected from.

    Args:
        paint: the texture at the beginning.
        surface: the mesh, on the paint's device.
        image: with its camera, or None.
        resolution: side of the texture that is refined.
        supersampling: samples along each side of an image's pixel.
    """
    size = (resolution, resolution)
    trust = paint.confidence * ((paint.source == PROJECTED) | (paint.source == MIRRORED))
    layers = [paint.colours.movedim(-1, 0)[None], trust[None, None]]
    if paint.confidence.shape != size:
        layers = [functional.interpolate(layer, size, mode="bilinear", align_corners=False) for layer in layers]
    anchor = None if image is None else _image_anchor(surface, image, resolution, supersampling)
    return Anchors(layers[0][0].movedim(0, -1), layers[1][0, 0], anchor)


def _image_anchor(surface: Surface, image: ObjectImage, resolution: int, supersampling: int) -> ImageAnchor:
    """What the image's pixels show of the texture, and what they should show."""
    camera = image.viewpoint.cameras(image.size).to(surface.device)
    texel_weights = surface.texel_weights(camera, resolution, supersampling)
    rgba = torch.from_numpy(image.rgba).to(surface.device)
    covered = texel_weights.weights.sum(1)
    colours = rgba[..., :3].reshape(-1, 3)[texel_weights.pixels] * covered[:, None]
    trust = erode(rgba[..., 3], 1).flatten()[texel_weights.pixels]
    return ImageAnchor(texel_weights, colours, trust * covered * (covered > 0.99))
