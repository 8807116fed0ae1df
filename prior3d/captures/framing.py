"""Square cut-outs of posed photographs whose cameras all look at the origin and see the same ball whole.

Turning a camera about its own centre changes nothing but which part of the world it sees, so a cut-out is exact: each
of its pixels is looked up in the photograph, through the photograph's intrinsics.
"""

from dataclasses import replace

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.captures.capture import Intrinsics
from prior3d.captures.placement import SEEN_RADIUS, CapturePlacement, look_at_point
from prior3d.captures.undistortion import distort
from prior3d.errors import Prior3dError
from prior3d.rendering.rays import local_rays

SUPERSAMPLING = 3  # lookups along each side of a cut-out's pixel
MASK_LEVEL = 0.5  # above it a pixel of a mask is the object's
OBJECT_RADIUS = 0.95  # world units: what half of the diagonals of the boxes about the masks becomes
FLAT_WITHIN = 0.03  # mean deviation of a border's colours that still count as one


def looking_at_origin(c2w: Float[Tensor, "views 4 4"], size: int, names: list[str]) -> Cameras:
    """The cameras at the same places, turned to the origin, that just see the ball of `SEEN_RADIUS`.

    Args:
        c2w: [views, 4, 4] float64, OpenGL axes; their up axes are kept as far as they can.
        size: side of their images, in pixels.
        names: what to call each in a message.

    Raises:
        Prior3dError: a camera looks away from the origin, or stands in the ball or too near.
    """
    positions, distances = c2w[:, :3, 3], c2w[:, :3, 3].norm(dim=-1)
    back = positions / distances.clamp_min(1e-9)[:, None]
    for name, distance, ahead in zip(names, distances.tolist(), (c2w[:, :3, 2] * back).sum(-1).tolist(), strict=True):
        if distance < 1.1 * SEEN_RADIUS:
            raise Prior3dError(
                f"{name}: its camera stands inside of what the others look at ({distance / SEEN_RADIUS:.2f} of its "
                "radius from the middle); leave the image out, or give its masks"
            )
        if ahead <= 0.1:
            raise Prior3dError(
                f"{name}: its camera looks away from what the others look at; leave the image out, or right its pose"
            )
    right = functional.normalize(torch.linalg.cross(c2w[:, :3, 1], back), dim=-1)
    turned = torch.eye(4, dtype=c2w.dtype).repeat(len(c2w), 1, 1)
    turned[:, :3, :3] = torch.stack([right, torch.linalg.cross(back, right), back], dim=-1)
    turned[:, :3, 3] = positions
    fov_deg = 2 * torch.rad2deg(torch.asin(SEEN_RADIUS / distances))
    return Cameras(turned.float(), fov_deg.float(), size, size)


def cut_out(
    image: Float[Tensor, "channels height width"], intrinsics: Intrinsics, c2w: Float[Tensor, "4 4"], camera: Cameras
) -> tuple[Float[Tensor, "channels size size"], Float[Tensor, "size size"]]:
    """What another camera at the same place sees of a photograph.

    Args:
        image: [channels, h, w] in [0, 1]; with an alpha channel premultiplied.
        intrinsics: of the photograph.
        c2w: [4, 4] of the photograph.
        camera: one, at the same place, of any direction and square images.

    Returns:
        [channels, size, size], and [size, size] the share of each pixel that the photograph shows.
    """
    fine = camera.height * SUPERSAMPLING
    turn = c2w[:3, :3].double().T @ camera.c2w[0, :3, :3].double()
    rays = local_rays(camera.resized(fine, fine))[0].double() @ turn.T
    ahead = -rays[..., 2]
    x, y = distort(rays[..., 0] / ahead.clamp_min(1e-6), -rays[..., 1] / ahead.clamp_min(1e-6), intrinsics)
    pixels = torch.stack([intrinsics.cx + intrinsics.fx * x, intrinsics.cy + intrinsics.fy * y], dim=-1)
    image = thinned(image, fine, float(pixels[fine // 2, fine // 2].sub(pixels[fine // 2, fine // 2 - 1]).norm()))
    extent = pixels.new_tensor([intrinsics.width, intrinsics.height])
    inside = (ahead > 0) & (pixels >= 0).all(-1) & (pixels <= extent).all(-1)
    grid = (pixels / extent * 2 - 1).clamp(-2, 2).float()[None]
    found = functional.grid_sample(image[None], grid, padding_mode="border", align_corners=False)
    shown = functional.avg_pool2d(inside.float()[None, None], SUPERSAMPLING)[0, 0]
    return functional.avg_pool2d(found, SUPERSAMPLING)[0], shown


def thinned(
    image: Float[Tensor, "channels height width"], fine: int, step_pixels: float
) -> Float[Tensor, "channels smaller_height smaller_width"]:
    """The image made smaller where the lookups, `step_pixels` apart, would skip pixels."""
    if step_pixels < 1.5:
        return image
    height, width = (max(1, round(side / step_pixels)) for side in image.shape[1:])
    return functional.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]


def border_colour(images: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "3"] | None:
    """[3] the colour that all images [views, 3, h, w] have along their border, or None if it is not one colour."""
    rows, columns = images[:, :, [0, -1]], images[..., [0, -1]]
    border = torch.cat([rows.flatten(2), columns.flatten(2)], dim=-1).movedim(1, -1).reshape(-1, 3)
    middle = border.median(dim=0).values
    return middle if (border - middle).abs().mean() < FLAT_WITHIN else None


def object_place(
    masks: list[Float[Tensor, "_ _"]], cameras: list[Intrinsics], c2w: Float[Tensor, "views 4 4"]
) -> tuple[Float[Tensor, "3"], float]:
    """Where the masked object is, and its radius: from the boxes about the masks (distortion is left out of it).

    Args:
        masks: each [h, w] of a photograph.
        cameras: the photographs'.
        c2w: [views, 4, 4] float64, in the world that the answer is in.

    Returns:
        [3] the point nearest to the rays to the boxes' middles (of one view: at the distance of the origin), and the
        median of half the boxes' diagonals there.

    Raises:
        Prior3dError: a mask is empty.
    """
    directions, halves = [], []
    for view, (mask, camera) in enumerate(zip(masks, cameras, strict=True)):
        rows, columns = (mask > MASK_LEVEL).nonzero(as_tuple=True)
        if len(rows) == 0:
            raise Prior3dError(f"input {view}: its mask is empty; give a mask of the object, or leave the image out")
        low = torch.tensor([columns.min(), rows.min()], dtype=torch.float64)
        high = torch.tensor([columns.max() + 1, rows.max() + 1], dtype=torch.float64)
        focal = torch.tensor([camera.fx, camera.fy], dtype=torch.float64)
        centre = torch.tensor([camera.cx, camera.cy], dtype=torch.float64)
        x, y = ((low + high) / 2 - centre) / focal
        directions.append(c2w[view, :3, :3] @ functional.normalize(torch.stack([x, -y, -torch.ones_like(x)]), dim=0))
        halves.append(float(((high - low) / focal).norm() / 2 / (1 + x * x + y * y).sqrt()))
    towards, positions = torch.stack(directions), c2w[:, :3, 3]
    single = positions[0] + towards[0] * positions[0].norm()
    middle = single if len(masks) == 1 else look_at_point(positions, towards)
    radii = (positions - middle).norm(dim=-1) * torch.tensor(halves, dtype=torch.float64)
    return middle, float(radii.median())


def fitted_to_masks(placement: CapturePlacement, middle: Float[Tensor, "3"], radius: float) -> CapturePlacement:
    """The placement that puts the masked object at the origin, `OBJECT_RADIUS` big.

    Args:
        placement: of the world that the other two are in.
        middle: [3] of the object, as `object_place` finds it.
        radius: of the object.
    """
    centre = placement.centre + placement.rotation.T @ middle / placement.scale
    return replace(placement, centre=centre, scale=placement.scale * OBJECT_RADIUS / radius)
