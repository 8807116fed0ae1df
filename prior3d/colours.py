"""From latents to colours: the linear map between them, a latent field's RGB twin, and masks of decoded views.

Each pixel of a Stable Diffusion latent nearly determines the mean colour of the image patch it stands for, through one
matrix (Metzer et al. 2023, section 3.2). So a latent field becomes an RGB field by a matrix product on its values.
"""

from dataclasses import replace

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from prior3d.errors import Prior3dError
from prior3d.fields import DenseGrids, Field

# Latent-NeRF's matrix for Stable Diffusion 1.x: rgb in [-1, 1] = latent @ matrix.
PAPER_MATRIX = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))
SIGMOID_SLOPE = 4.0  # the sigmoid's inverse slope at 1/2: sigmoid(4 (x - 1/2)) is x to first order


def paper_latent_to_rgb() -> tuple[Tensor, Tensor]:
    """The published map, restated for colours in [0, 1]: matrix [4, 3] and offset [3]."""
    return torch.tensor(PAPER_MATRIX) / 2, torch.full((3,), 0.5)


def fit_latent_to_rgb(latents: Tensor, images: Tensor, ridge: float = 1e-3) -> tuple[Tensor, Tensor]:
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
def rgb_field(latent_field: Field, matrix: Tensor, offset: Tensor, finer_resolutions: tuple[int, ...] = ()) -> Field:
    """An RGB field with the same density, coloured by the linear map passed (to first order) through the sigmoid.

    Args:
        latent_field: any field with a latent head.
        matrix: [channels, 3].
        offset: [3].
        finer_resolutions: dense grids to add, starting at 0; (r - 1) should be a multiple of the finest one's (r - 1).

    Raises:
        Prior3dError: finer grids are asked for a field that is not made of dense grids.
    """
    config = latent_field.config
    encoding = config.encoding
    if finer_resolutions and not (isinstance(encoding, DenseGrids) and config.hidden == 0):
        raise Prior3dError("rgb field: finer grids can only be added to dense grids without a network; ask for none")
    if finer_resolutions:
        encoding = replace(encoding, resolutions=(*encoding.resolutions, *finer_resolutions))
    field = Field(replace(config, head="rgb", channels=3, encoding=encoding), torch.Generator().manual_seed(0))
    field = field.to(matrix.device)
    mix = torch.zeros(4, 1 + config.channels, device=matrix.device)  # new values = mix @ old values + shift
    mix[0, 0], mix[1:, 1:] = 1, SIGMOID_SLOPE * matrix.T
    shift = torch.cat([torch.zeros(1, device=matrix.device), SIGMOID_SLOPE * (offset - 0.5)])
    if isinstance(field.network, nn.Identity):
        for parameter in field.parameters():
            parameter.zero_()
        for new, old in zip(field.encoding.grids, latent_field.encoding.grids, strict=False):
            new.copy_(old @ mix.T)
        field.encoding.grids[0].add_(shift)
    else:
        field.encoding.load_state_dict(latent_field.encoding.state_dict())
        field.network[:-1].load_state_dict(latent_field.network[:-1].state_dict())
        field.network[-1].weight.copy_(mix @ latent_field.network[-1].weight)
        field.network[-1].bias.copy_(mix @ latent_field.network[-1].bias + shift)
    return field


def difference_mask(images: Tensor, level: float, tolerance: float = 0.08) -> Tensor:
    """Where images differ from their flat grey background: [views, h, w] in [0, 1].

    Args:
        images: [views, 3, h, w] in [0, 1].
        level: of the background, in [0, 1].
        tolerance: a difference of this size (in any channel) counts for nothing, one of twice this size fully.
    """
    difference = (images - level).abs().amax(1)
    return ((difference - tolerance) / tolerance).clamp(0, 1)


def solid(masks: Tensor, smallest_fraction: float = 0.02) -> Tensor:
    """Masks [views, h, w] with their holes filled, and with specks removed that are small beside all that is there."""
    import numpy
    from scipy import ndimage

    cleaned = []
    for mask in masks.cpu().numpy():
        inside = ndimage.binary_fill_holes(mask > 0.5)
        labels, n_parts = ndimage.label(inside)
        sizes = numpy.bincount(labels.ravel(), minlength=n_parts + 1)
        kept = sizes >= smallest_fraction * max(sizes[1:].sum(), 1)
        kept[0] = False
        near = ndimage.binary_dilation(kept[labels])  # soft edges of what is kept stay soft
        filled = numpy.maximum(mask, ndimage.binary_erosion(kept[labels]))
        cleaned.append(torch.from_numpy(filled * near))
    return torch.stack(cleaned).to(masks)


def most_distinct_background(colours: Tensor, levels: list[float]) -> int:
    """Which grey level is farthest from colours [n, 3], by the difference that nine pixels in ten exceed."""
    if len(colours) == 0:
        return 0
    differences = [(colours - level).abs().amax(-1).quantile(0.1) for level in levels]
    return int(torch.stack(differences).argmax())
