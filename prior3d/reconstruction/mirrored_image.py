"""An object's picture, mirrored: what its other side looks like, if left and right are alike."""

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.fields import RadianceField
from prior3d.images.object_image import ObjectImage
from prior3d.metrics import mask_iou
from prior3d.reconstruction.symmetry import MirrorPlane
from prior3d.reconstruction.view_targets import ViewTargets, premultiplied
from prior3d.rendering import render_without_gradient

LEFT_AND_RIGHT = MirrorPlane(angle_deg=90.0, offset=0.0)  # objects face +x
LEAST_APART_DEG = 20.0  # between a camera and its mirror image, else they see the same side


class MirroredImage(ViewTargets):
    """The picture flipped from left to right, as the mirrored camera would see a symmetric object.

    Attributes:
        elsewhere: whether the mirrored camera sees another side than the picture's own.
        agreement: IoU of the mirror image's outline with a field's; -1 before `compare`.
    """

    agreement: Float[Tensor, ""]

    def __init__(self, picture: ObjectImage, size: int):
        """Lay it out as rays of size^2 pixels."""
        own = picture.viewpoint.cameras(size)
        super().__init__(LEFT_AND_RIGHT.mirrored(own), background_ray_fraction=0.5)
        self.register_buffer("agreement", torch.tensor(-1.0))
        between = (own.positions * self.cameras.positions).sum() / own.positions.square().sum()
        self.elsewhere = bool(torch.rad2deg(torch.arccos(between.clamp(-1, 1))) >= LEAST_APART_DEG)
        _, mask = picture.premultiplied(size)
        masks = mask.flip(-1)[None]
        self.put(slice(None), premultiplied(picture.over(1.0, size).flip(-1)[None], masks, 1.0), masks)

    def compare(self, field: RadianceField, n_samples: int) -> None:
        """Measure the agreement with a field as it is now."""
        _, opacity, _ = render_without_gradient(field, self.cameras.to(self.masks.device), n_samples)
        self.agreement.fill_(mask_iou(opacity.cpu().numpy(), self.masks.cpu().numpy()))
