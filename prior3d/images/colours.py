"""From latents to colours: the linear map between them, a latent field's RGB twin, and masks of decoded views.

Each pixel of a Stable Diffusion latent nearly determines the mean colour of the image patch it stands for, through one
matrix (Metzer et al. 2023, section 3.2). So a latent field becomes an RGB field by a matrix product on its values.
"""

from dataclasses import replace

import numpy
import torch
import torch.nn.functional as functional
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor, nn

from prior3d.errors import Prior3dError
from prior3d.fields import DenseGrids, ObjectField
from prior3d.fields.grids import DenseEncoding

# Latent-NeRF's matrix for Stable Diffusion 1.x: rgb in [-1, 1] = latent @ matrix.
PAPER_MATRIX = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))
SIGMOID_SLOPE = 4.0  # the sigmoid's inverse slope at 1/2: sigmoid(4 (x - 1/2)) is x to first order


def paper_latent_to_rgb() -> tuple[Float[Tensor, "4 3"], Float[Tensor, "3"]]:
    """The published map, restated for colours in [0, 1]: matrix [4, 3] and offset [3]."""
    return torch.tensor(PAPER_MATRIX) / 2, torch.full((3,), 0.5)


def paper_red_latent(channels: int, ridge: float = 1e-2) -> Float[Tensor, "channels"]:
    """The latent [channels] that the published map shows as red (1, 0, 0), by its ridge pseudo-inverse.

    Raises:
        Prior3dError: the prior has another number of latent channels than the map.
    """
    matrix = torch.tensor(PAPER_MATRIX)
    if channels != len(matrix):
        raise Prior3dError(
            f"the published map's red has {len(matrix)} latent channels, this prior has {channels}; start from grey"
        )
    red = torch.tensor([1.0, -1.0, -1.0])  # in the map's own [-1, 1]
    latent: Tensor = matrix @ torch.linalg.solve(matrix.T @ matrix + ridge * torch.eye(3), red)
    return latent


def fit_latent_to_rgb(
    latents: Float[Tensor, "views channels latent_height latent_width"],
    images: Float[Tensor, "views 3 height width"],
    ridge: float = 1e-3,
) -> tuple[Float[Tensor, "channels 3"], Float[Tensor, "3"]]:
    """Fit the map of a given prior by least squares on decoded latents.

    Args:
        latents: [views, channels, h, w].
        images: [views, 3, height, width], what they decode to; averaged down to h x w.
        ridge: pulls the matrix towards 0 where the latents do not determine it, in units of the latents' mean square.

    Returns:
        matrix [channels, 3] and offset [3], so that rgb = latent @ matrix + offset.
    """
    colours = functional.interpolate(images, latents.shape[-2:], mode="area").movedim(1, -1).reshape(-1, 3).double()
    values = latents.movedim(1, -1).reshape(-1, latents.shape[1]).double()
    mean_value, mean_colour = values.mean(0), colours.mean(0)
    centred = values - mean_value
    squares = centred.T @ centred
    squares += ridge * squares.diagonal().mean() * torch.eye(len(squares), dtype=squares.dtype, device=squares.device)
    matrix = torch.linalg.solve(squares, centred.T @ (colours - mean_colour))
    return matrix.float(), (mean_colour - mean_value @ matrix).float()


@torch.no_grad()
def rgb_field(
    latent_field: ObjectField,
    matrix: Float[Tensor, "channels 3"],
    offset: Float[Tensor, "3"],
    finer_resolutions: tuple[int, ...] = (),
) -> ObjectField:
    """An RGB field with the same density, coloured by the linear map passed (to first order) through the sigmoid.

    Args:
        latent_field: any field with a latent head.
        matrix: [channels, 3].
        offset: [3].
        finer_resolutions: dense grids to add, starting at 0; (r - 1) should be a multiple of the finest one's (r - 1).

    Raises:
        Prior3dError: finer grids are asked for a field that is not made of dense grids.
    """
    config, encoding = latent_field.config, latent_field.config.encoding
    if finer_resolutions:
        if config.hidden or not isinstance(encoding, DenseGrids):
            raise Prior3dError(
                "rgb field: finer grids can only be added to dense grids without a network; ask for none"
            )
        encoding = replace(encoding, resolutions=(*encoding.resolutions, *finer_resolutions))
    start = torch.Generator().manual_seed(0)  # every value is replaced
    field = ObjectField(replace(config, head="rgb", channels=3, encoding=encoding), start).to(matrix.device)
    mix = torch.zeros(4, 1 + config.channels, device=matrix.device)  # new values = mix @ old values + shift
    mix[0, 0], mix[1:, 1:] = 1, SIGMOID_SLOPE * matrix.T
    shift = torch.cat([torch.zeros(1, device=matrix.device), SIGMOID_SLOPE * (offset - 0.5)])
    match field.network, latent_field.network, field.encoding, latent_field.encoding:
        case nn.Sequential() as network, nn.Sequential() as latent_network, values, latent_values:
            values.load_state_dict(latent_values.state_dict())
            network.load_state_dict(latent_network.state_dict() | _mixed_last_layer(latent_network, mix, shift))
        case _, _, DenseEncoding() as values, DenseEncoding() as latent_values:
            for place, new in enumerate(values.grids):
                new.zero_()
                if place < len(latent_values.grids):
                    new.copy_(latent_values.grids[place] @ mix.T)
            values.grids[0].add_(shift)
    return _with_occupancy(field, latent_field)


def _with_occupancy(field: ObjectField, of: ObjectField) -> ObjectField:
    """The field, empty where another one is known to be."""
    if field.occupancy is not None and of.occupancy is not None:
        field.occupancy.load_state_dict(of.occupancy.state_dict())
    return field


def _mixed_last_layer(
    network: nn.Sequential, mix: Float[Tensor, "new old"], shift: Float[Tensor, "new"]
) -> dict[str, Float[Tensor, "new ..."]]:
    """Weight and bias of a network's last layer when its outputs are mixed and shifted."""
    state, last = network.state_dict(), len(network) - 1
    return {f"{last}.weight": mix @ state[f"{last}.weight"], f"{last}.bias": mix @ state[f"{last}.bias"] + shift}


def difference_mask(
    images: Float[Tensor, "views 3 height width"], level: float, tolerance: float = 0.08
) -> Float[Tensor, "views height width"]:
    """Where images differ from their flat grey background: [views, h, w] in [0, 1].

    Args:
        images: [views, 3, h, w] in [0, 1].
        level: of the background, in [0, 1].
        tolerance: a difference of this size (in any channel) counts for nothing, one of twice this size fully.
    """
    difference = (images - level).abs().amax(1)
    return ((difference - tolerance) / tolerance).clamp(0, 1)


def clean_mask(
    masks: Float[Tensor, "views height width"],
    opacity: Float[Tensor, "views height width"],
    smallest_fraction: float = 0.02,
) -> Float[Tensor, "views height width"]:
    """Masks with false holes filled, and with specks removed that are small beside all that is there.

    A hole may be a part that has the background's colour, or one that light passes through, as a mug's handle has: it
    is filled where the object was opaque before.

    Args:
        masks: [views, h, w] in [0, 1].
        opacity: [views, h, w] of the object as it was known before.
        smallest_fraction: specks below this share of all that is there go.
    """
    cleaned = []
    for mask, before in zip(masks.cpu().numpy(), opacity.cpu().numpy(), strict=True):
        seen = mask > 0.5
        inside = seen | (ndimage.binary_fill_holes(seen) & (before > 0.5))
        labels, n_parts = ndimage.label(inside)
        sizes = numpy.bincount(labels.ravel(), minlength=n_parts + 1)
        kept = sizes >= smallest_fraction * max(sizes[1:].sum(), 1)
        kept[0] = False
        near = ndimage.binary_dilation(kept[labels])  # soft edges of what is kept stay soft
        filled = numpy.maximum(mask, ndimage.binary_erosion(kept[labels]))
        cleaned.append(torch.from_numpy(filled * near))
    return torch.stack(cleaned).to(masks)


def estimate_alpha(
    images: Float[Tensor, "views 3 height width"], masks: Float[Tensor, "views height width"], level: float
) -> Float[Tensor, "views height width"]:
    """Masks whose rims hold the share of each pixel that the object covers, instead of every pixel it touches.

    A pixel of the rim mixes the background with the object's colour, which is taken from the nearest pixel inside: its
    share is how far it lies from the one towards the other. A mask by difference alone is about a pixel too wide.

    Args:
        images: [views, 3, h, w] in [0, 1], over a flat grey background.
        masks: [views, h, w] in [0, 1], wide; they stay as they are in parts too thin to have an inside.
        level: of the background, in [0, 1].

    Returns:
        [views, h, w], nowhere above the masks; 1 inside.
    """
    rim = max(1, masks.shape[-1] // 64)  # pixels
    found = []
    for difference, mask in zip((images - level).cpu().numpy(), masks.cpu().numpy(), strict=True):
        inside = ndimage.binary_erosion(mask > 0.5, iterations=rim)
        if not inside.any():
            found.append(torch.from_numpy(mask))
            continue
        away, (row, column) = ndimage.distance_transform_edt(~inside, return_indices=True)
        colour = difference[:, row, column]
        share = (difference * colour).sum(0) / numpy.maximum((colour * colour).sum(0), 1e-4)
        soft = numpy.minimum(share.clip(0, 1), mask)
        found.append(torch.from_numpy(numpy.where(inside, 1, numpy.where(away <= 4 * rim, soft, mask))))
    return torch.stack(found).to(masks)


def most_distinct_background(colours: Float[Tensor, "pixels 3"], levels: list[float], but: float = 0.1) -> int:
    """Which grey level is farthest from colours [n, 3], by the difference that all but a share `but` of them exceed."""
    if len(colours) == 0:
        return 0
    differences = [(colours - level).abs().amax(-1).quantile(but) for level in levels]
    return int(torch.stack(differences).argmax())
