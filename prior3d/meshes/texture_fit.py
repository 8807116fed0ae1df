"""A texture, changed so that the mesh shows an image from the image's camera; what it does not show stays."""

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.fields.trilinear import weighted_rows
from prior3d.images.object_image import ObjectImage
from prior3d.meshes.painting import Surface, TexelWeights
from prior3d.reconstruction.input_views import InputViews

INSIDE = 0.9  # of a pixel must be the object's, in the image and on the mesh, for its colour to count
GUTTER = 2  # texels between two charts, see `atlas.unwrap`
FACING = 0.7  # cosine at which a surface is seen well enough to measure how large a pixel is on it


def fit_texture_to_pixels(
    surface: Surface,
    texture: Float[Tensor, "resolution resolution 3"],
    cameras: Cameras,
    colours: Float[Tensor, "height width 3"],
    mask: Float[Tensor, "height width"],
    n_steps: int = 20,
    damping: float = 0.05,
    supersampling: int = 2,
) -> Float[Tensor, "resolution resolution 3"]:
    """Spread what an image's pixels differ by over the texels that they show, again and again.

    It is the simultaneous iterative reconstruction technique (SIRT, Gilbert 1972) for weights of texels in pixels. A
    texel counts by the square of the cosine at which it is seen, so a texture that is hardly seen hardly changes.

    Args:
        surface: the mesh, on the texture's device.
        texture: [resolution, resolution, 3], also filled beyond the charts, where lookups near seams reach.
        cameras: one, the image's.
        colours: [height, width, 3] of the image, premultiplied by the mask.
        mask: [height, width] in [0, 1].
        n_steps: steps; 0 leaves the texture as it is.
        damping: weight of a texel's present colour in each step, beside the pixels that show it.
        supersampling: a pixel is the mean of this many samples squared.

    Returns:
        [resolution, resolution, 3] in [0, 1].
    """
    seen = surface.texel_weights(cameras, texture.shape[0], supersampling)
    covered = seen.weights.sum(1)
    alpha = mask.flatten()[seen.pixels]
    wanted = colours.reshape(-1, 3)[seen.pixels] / alpha.clamp_min(1e-3)[:, None]
    trust = seen.cos_theta.square() * ((alpha > INSIDE) & (covered > INSIDE))
    shares = seen.weights / covered[:, None]
    return _sirt(texture.reshape(-1, 3), seen.rows, shares, wanted, trust, n_steps, damping).view_as(texture)


def _sirt(
    values: Float[Tensor, "texels 3"],
    rows: Int[Tensor, "pixels per_pixel"],
    shares: Float[Tensor, "pixels per_pixel"],
    wanted: Float[Tensor, "pixels 3"],
    trust: Float[Tensor, "pixels"],
    n_steps: int,
    damping: float,
    radius: float = 0.0,
) -> Float[Tensor, "texels 3"]:
    """Texels' values in [0, 1] of which pixels are the weighted sums that are wanted, as nearly as they are trusted.

    With a radius, in texels, a change also reaches the texels between the samples of a pixel.
    """
    flat_rows = rows.flatten()
    total = values.new_zeros((len(values), 1)).index_add(0, flat_rows, (shares * trust[:, None]).reshape(-1, 1))
    total = _blurred(total, radius) + damping
    for _ in range(n_steps):
        missing = (wanted - weighted_rows(values, rows, shares)) * trust[:, None]
        spread = (missing[:, None] * shares[..., None]).reshape(-1, 3)
        values = values + _blurred(torch.zeros_like(values).index_add(0, flat_rows, spread), radius) / total
    return values.clamp(0, 1)


def _blurred(texels: Float[Tensor, "texels channels"], radius: float) -> Float[Tensor, "texels channels"]:
    """Texels of a square texture, each spread over its neighbours by a Gaussian of this standard deviation.

    It ends before the next chart.
    """
    if radius == 0:
        return texels
    reach = min(max(1, round(2 * radius)), GUTTER)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=texels.device) / radius) ** 2)
    kernel = kernel / kernel.sum()
    side = round(len(texels) ** 0.5)
    image = texels.T.reshape(-1, 1, side, side)
    image = functional.conv2d(image, kernel.view(1, 1, 1, -1), padding=(0, reach))
    return functional.conv2d(image, kernel.view(1, 1, -1, 1), padding=(reach, 0)).flatten(1).T


def fit_texture_to_views(
    surface: Surface,
    texture: Float[Tensor, "resolution resolution 3"],
    views: InputViews,
    n_steps: int,
    damping: float = 0.05,
    supersampling: int = 2,
) -> Float[Tensor, "resolution resolution 3"]:
    """The same for several posed views at once: a texel that more of them show takes the mean of what they show.

    Args:
        surface: the mesh, on the texture's device.
        texture: also filled beyond the charts.
        views: with masks; their weights say how far each is trusted beside the others. Pixels at their outlines do not
            count: they hold some of what was behind the object.
        n_steps: 0 leaves the texture as it is.
        damping: weight of a texel's present colour in each step, beside a view of the greatest weight.
        supersampling: as in `fit_texture_to_pixels`.

    Returns:
        [resolution, resolution, 3] in [0, 1].
    """
    if views.masks is None or n_steps == 0:
        return texture.clamp(0, 1)
    seen = surface.texel_weights(views.cameras, texture.shape[0], supersampling)
    inner = -functional.max_pool2d(-views.masks[:, None], 3, stride=1, padding=1)[:, 0]
    covered, alpha = seen.weights.sum(1), views.masks.flatten()[seen.pixels]
    wanted = views.colours.movedim(1, -1).reshape(-1, 3)[seen.pixels] / alpha.clamp_min(1e-3)[:, None]
    weights = (views.weights / views.weights.max()).flatten()[seen.pixels]
    trust = weights * seen.cos_theta.square() * ((inner.flatten()[seen.pixels] > INSIDE) & (covered > INSIDE))
    shares = seen.weights / covered[:, None]
    radius = _between_samples(seen, texture.shape[0], supersampling)
    fitted = _sirt(texture.reshape(-1, 3), seen.rows, shares, wanted, trust, n_steps, damping, radius)
    return fitted.view_as(texture)


def _between_samples(seen: TexelWeights, resolution: int, supersampling: int) -> float:
    """Half the distance of two samples of a pixel, in texels: so far a change reaches the texels between them.

    s x s samples in a square of side F have the standard deviation F sqrt((1 - 1 / s^2) / 12) along an axis, and are
    F / s apart. The median over pixels that see the surface face on leaves out samples that lie in different charts.
    """
    facing = seen.cos_theta > FACING
    if supersampling < 2 or not facing.any():
        return 0.0
    weights = (seen.weights[facing] / seen.weights[facing].sum(1, keepdim=True))[..., None]
    places = torch.stack([seen.rows[facing] % resolution, seen.rows[facing] // resolution], -1).to(weights)
    middles = (places * weights).sum(1, keepdim=True)
    variance = ((places - middles).square() * weights).sum(1).mean(-1)
    return float((3 * variance.median() / (supersampling**2 - 1)).sqrt())


def silhouette_texels(
    surface: Surface, resolution: int, cameras: Cameras, mask: Float[Tensor, "height width"], supersampling: int = 2
) -> Bool[Tensor, "resolution resolution"]:
    """Texels about which an image says little: only pixels that the object covers in part show them.

    Args:
        surface: the mesh.
        resolution: side of its texture.
        cameras: one, the image's.
        mask: [height, width] of the image, in [0, 1].
        supersampling: as in `fit_texture_to_pixels`, to which all other texels that the camera sees are left.

    Returns:
        [resolution, resolution] bool.
    """
    seen = surface.texel_weights(cameras, resolution, supersampling)
    inside = (mask.flatten()[seen.pixels] > INSIDE) & (seen.weights.sum(1) > INSIDE)
    rim = torch.zeros(resolution**2, dtype=torch.bool, device=seen.rows.device)
    rim[seen.rows[~inside][seen.weights[~inside] > 0]] = True
    rim[seen.rows[inside][seen.weights[inside] > 0]] = False
    return rim.view(resolution, resolution)


def fit_texture_to_image(
    surface: Surface,
    texture: Float[Tensor, "resolution resolution 3"],
    image: ObjectImage,
    n_steps: int,
    rim: Float[Tensor, "resolution resolution 3"] | None = None,
) -> Float[Tensor, "resolution resolution 3"]:
    """Fit the texels that the camera of an image sees to its pixels (`fit_texture_to_pixels`).

    Args:
        surface: the mesh.
        texture: also filled beyond the charts.
        image: with its camera.
        n_steps: 0 leaves the texture as it is.
        rim: texels that only pixels at the object's outline show are taken from here (`silhouette_texels`); None keeps
            the texture's own.

    Returns:
        The texture in [0, 1], on the surface's device.
    """
    texture = texture.to(surface.device)
    if n_steps == 0:
        return texture.clamp(0, 1)
    size = min(image.size, texture.shape[0])
    colours, mask = (values.to(surface.device) for values in image.premultiplied(size))
    cameras = image.viewpoint.cameras(size).to(surface.device)
    if rim is not None:
        at_rim = silhouette_texels(surface, texture.shape[0], cameras, mask)
        texture = rim.to(texture).where(at_rim[..., None], texture)
    return fit_texture_to_pixels(surface, texture, cameras, colours, mask, n_steps)
