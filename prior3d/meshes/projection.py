"""Images projected onto a mesh's texels: which of them a camera sees, how squarely, and what colour it finds there.

The inverse of `prior3d.meshes.painting`: there a pixel gathers texels, here a texel gathers pixels, so that no texel
between two pixels is left out. Nothing here has a gradient.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from scipy.spatial import cKDTree
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.meshes.atlas import Atlas, texels
from prior3d.meshes.mesh import UvMesh, open_edge_fraction
from prior3d.meshes.painting import Surface, TexelWeights
from prior3d.rendering.rays import project

MIN_COS_THETA = 0.15  # cosine below which a texel is not coloured: its pixels are stretched more than sixfold
LARGEST_SHIFT = 0.1  # of a colour at a seam; greater differences are other things, not another shade
Z_BUFFER = 512  # least side of the z-buffer, in pixels: outlines are then sharper than those of any small image


UNKNOWN, PROJECTED, INPAINTED, MIRRORED = 0, 1, 2, 3  # where a texel's colour comes from


@dataclass(frozen=True)
class PartialTexture:
    """A texture of which some texels are known.

    Attributes:
        colours: [resolution, resolution, 3].
        confidence: [resolution, resolution] at least 0; 0 where nothing is known, 1 where an image shows it squarely.
        source: [resolution, resolution] uint8: UNKNOWN, PROJECTED, INPAINTED or MIRRORED.
    """

    colours: Float[Tensor, "resolution resolution 3"]
    confidence: Float[Tensor, "resolution resolution"]
    source: UInt8[Tensor, "resolution resolution"]


@dataclass(frozen=True)
class SurfaceTexels:
    """The texels whose centre lies on a face.

    Attributes:
        resolution: side of the texture.
        rows: [n] places in the flattened texture.
        positions: [n, 3] on the surface, world.
        normals: [n, 3] unit, of the faces.
        closed: whether the mesh has an inside, so that a face is seen from one side only.
    """

    resolution: int
    rows: Int[Tensor, "texels"]
    positions: Float[Tensor, "texels 3"]
    normals: Float[Tensor, "texels 3"]
    closed: bool

    def to_texture(
        self, values: Shaped[Tensor, "texels *channels"]
    ) -> Shaped[Tensor, "resolution resolution *channels"]:
        """Values [n, ...] of the texels as a texture [resolution, resolution, ...], 0 where there is no face."""
        flat = values.new_zeros(self.resolution**2, *values.shape[1:]).index_copy(0, self.rows, values)
        return flat.view(self.resolution, self.resolution, *values.shape[1:])

    def from_texture(
        self, texture: Shaped[Tensor, "resolution resolution *channels"]
    ) -> Shaped[Tensor, "texels *channels"]:
        """The texels' values [n, ...] in a texture [resolution, resolution, ...]; the inverse of `to_texture`."""
        return texture.flatten(0, 1)[self.rows]


def surface_texels(mesh: UvMesh, resolution: int, device: torch.device | str = "cpu") -> SurfaceTexels:
    """Find the texels of a mesh's charts, with the normals of their faces: edges of a box stay sharp."""
    corners = mesh.world_vertices()[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    flat = Atlas(
        corners.reshape(-1, 3),
        np.arange(3 * len(mesh.faces)).reshape(-1, 3),
        mesh.uv[mesh.uv_faces].reshape(-1, 2),
        normals.repeat(3, axis=0),
        0,
    )
    places = texels(flat, resolution)
    rows = torch.from_numpy(places.rows * resolution + places.columns)
    positions, turned = (torch.from_numpy(a.astype(np.float32)) for a in (places.positions, places.normals))
    closed = open_edge_fraction(mesh.vertices, mesh.faces) == 0
    return SurfaceTexels(resolution, rows.to(device), positions.to(device), turned.to(device), closed)


@dataclass(frozen=True)
class VisibilityMap:
    """How one camera sees the texels of a surface.

    Attributes:
        grid: [n, 2] where they are in the image, x and y from -1 to 1, y downwards.
        cos_theta: [n] cosine between the line of sight and the normal, 0 where another face is in front of the texel or
            it is outside the image.
    """

    grid: Float[Tensor, "texels 2"]
    cos_theta: Float[Tensor, "texels"]


def texel_visibility(surface: Surface, points: SurfaceTexels, camera: Cameras) -> VisibilityMap:
    """See the texels from one camera, by a z-buffer.

    A texel is hidden if the z-buffer's nearest pixel is nearer than the texel by more than what the face falls away
    within two such pixels, or 0.02 world units, whichever is more.

    Args:
        surface: of the mesh that the texels belong to.
        points: its texels.
        camera: a batch of one.
    """
    enlarged = max(1, -(-Z_BUFFER // camera.height))
    fine = camera.resized(camera.height * enlarged, camera.width * enlarged)
    buffer = distance_map(surface, fine)
    pixels, distance = (found[0] for found in project(fine, points.positions))
    size = pixels.new_tensor([fine.width, fine.height])
    inside = ((pixels >= 0) & (pixels < size)).all(-1) & (distance > 0)
    column, row = pixels.clamp_min(0).minimum(size - 1).long().unbind(-1)
    sight = functional.normalize(points.positions - camera.positions, dim=-1)
    cos_theta = -(points.normals * sight).sum(-1)
    cos_theta = cos_theta.clamp(0, 1) if points.closed else cos_theta.abs().clamp_max(1)
    pixel_width = distance / fine.focal_pixels
    tolerance = (2 * pixel_width / cos_theta.clamp_min(MIN_COS_THETA)).clamp_min(0.02)
    seen = inside & (distance <= buffer[row, column] + tolerance)
    return VisibilityMap(pixels / size * 2 - 1, torch.where(seen, cos_theta, 0.0))


def distance_map(surface: Surface, camera: Cameras) -> Float[Tensor, "height width"]:
    """How far the surface is in each pixel of one camera: [height, width] along the ray, infinite beside it."""
    found = surface.fragments(camera)
    face, weights = found.face[0].clamp_min(0), found.barycentric[0]
    points = (surface.vertices[surface.faces[face]] * weights[..., None]).sum(-2)
    away = (points - camera.positions).norm(dim=-1)
    return torch.where(found.face[0] >= 0, away, torch.inf)


def off_depth_edges(surface: Surface, camera: Cameras, pixels: float = 3.0) -> Bool[Tensor, "height width"]:
    """Pixels of one camera [height, width] bool that do not lie where a part ends in front of what is behind it.

    Such a pixel mixes the colours of both. It is told from a slope by the depth's second difference: of a plane it is
    0, however steeply it falls away.

    Args:
        surface: of the mesh.
        camera: a batch of one.
        pixels: how large the second difference may be, in widths of a pixel.
    """
    found = distance_map(surface, camera)
    around = functional.pad(found, (1, 1, 1, 1), value=torch.inf)
    middle = slice(1, -1)
    pairs = (around[:-2, middle], around[2:, middle]), (around[middle, :-2], around[middle, 2:])
    bends = [torch.where(a.isfinite() & b.isfinite(), (a + b - 2 * found).abs(), 0.0) for a, b in pairs]
    limit = pixels * found / camera.focal_pixels
    return found.isfinite() & (bends[0] < limit) & (bends[1] < limit)


def erode(alpha: Float[Tensor, "height width"], pixels: int) -> Float[Tensor, "height width"]:
    """Alpha [height, width] in [0, 1], in each pixel the least of those up to `pixels` away; outside counts as 0."""
    padded = functional.pad(1 - alpha[None], (pixels,) * 4, value=1.0)
    return 1 - functional.max_pool2d(padded, 2 * pixels + 1, stride=1)[0]


def project_image(
    image: Float[Tensor, "3 height width"],
    trust: Float[Tensor, "height width"],
    visibility: VisibilityMap,
    view_angle_exponent: float,
    min_cos_theta: float = MIN_COS_THETA,
) -> tuple[Float[Tensor, "texels 3"], Float[Tensor, "texels"]]:
    """The colours that an image shows at texels, and how far they are to be believed.

    Args:
        image: [3, height, width].
        trust: [height, width] in [0, 1]; pixels of no trust lend no colour to those beside them.
        visibility: how the image's camera sees the texels.
        view_angle_exponent: power of the cosine by which grazing faces are faded.
        min_cos_theta: cosine at which they are faded out.

    Returns:
        colours [n, 3] (0 where nothing is seen) and confidence [n] in [0, 1].
    """
    layers = torch.cat([image * trust, trust[None]])[None]
    found = functional.grid_sample(
        layers, visibility.grid[None, None], mode="bilinear", padding_mode="zeros", align_corners=False
    )[0, :, 0].T
    believed = found[:, 3]
    confidence = torch.where(believed > 0.5, believed, 0.0) * view_angle_weight(
        visibility.cos_theta, view_angle_exponent, min_cos_theta
    )
    colours = found[:, :3] / believed.clamp_min(1e-6)[:, None]
    return torch.where(confidence[:, None] > 0, colours, 0.0), confidence


def view_angle_weight(
    cos_theta: Float[Tensor, "*texels"], view_angle_exponent: float, min_cos_theta: float = MIN_COS_THETA
) -> Float[Tensor, "*texels"]:
    """How far a pixel is believed that looks at a face with that cosine: 1 squarely, 0 at `min_cos_theta` and below."""
    return ((cos_theta - min_cos_theta) / (1 - min_cos_theta)).clamp(0, 1) ** view_angle_exponent


def seamless_clone(
    drawn: Float[Tensor, "3 height width"],
    image: Float[Tensor, "3 height width"],
    hole: Bool[Tensor, "height width"],
    known: Bool[Tensor, "height width"],
    n_steps: int,
) -> Float[Tensor, "3 height width"]:
    """Shift what was drawn in a hole so that it meets the known pixels beside it without a step in colour.

    The difference at known pixels is carried into the hole as a membrane (Perez et al. 2003, Poisson image editing,
    section 3): each pixel of the hole takes the mean of its neighbours', so the shift is smooth and details stay.

    Args:
        drawn: [3, height, width] in [0, 1], the known pixels drawn too.
        image: [3, height, width] in [0, 1], right at the known pixels.
        hole: [height, width] bool.
        known: [height, width] bool; pixels of neither kind, such as the background, take no part.
        n_steps: how far a difference is carried, in pixels; 0 changes nothing.

    Returns:
        [3, height, width] in [0, 1].
    """
    shift = torch.where(known, (image - drawn).clamp(-LARGEST_SHIFT, LARGEST_SHIFT), 0.0)[None]
    reached = known.to(drawn)[None, None]
    kernel = drawn.new_tensor([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]])[None, None]
    for _ in range(n_steps):
        count = functional.conv2d(reached, kernel, padding=1)
        spread = functional.conv2d((shift * reached).movedim(0, 1), kernel, padding=1).movedim(0, 1)
        shift = torch.where(hole & (count > 0), spread / count.clamp_min(1e-6), shift)
        reached = torch.maximum(reached, (hole & (count > 0)).to(reached))
    return (drawn + shift[0]).clamp(0, 1)


def blend_by_confidence(
    colours: Float[Tensor, "texels 3"],
    confidence: Float[Tensor, "texels"],
    new_colours: Float[Tensor, "texels 3"],
    new_confidence: Float[Tensor, "texels"],
) -> tuple[Float[Tensor, "texels 3"], Float[Tensor, "texels"]]:
    """Mean of two sets of colours [n, 3] by their confidence [n], and the greater confidence of the two."""
    total = (confidence + new_confidence).clamp_min(1e-9)[:, None]
    mean = (colours * confidence[:, None] + new_colours * new_confidence[:, None]) / total
    return mean, torch.maximum(confidence, new_confidence)


def pixel_average(seen: TexelWeights, values: Float[Tensor, "resolution resolution"]) -> Float[Tensor, "pixels"]:
    """The mean of a value of texels [resolution, resolution] over what each pixel shows: [pixels that show the mesh].

    Texels beside the charts, which bilinear lookup also meets, must have been filled (see `dilate_charts`).
    """
    return seen.colours(values[..., None])[:, 0] / seen.weights.sum(1).clamp_min(1e-6)


def dilate_charts(
    texture: Float[Tensor, "resolution resolution channels"], points: SurfaceTexels, steps: int = 3
) -> Float[Tensor, "resolution resolution channels"]:
    """A texture [resolution, resolution, channels] continued beyond its charts, for lookups near their borders."""
    known = torch.zeros(points.resolution**2, dtype=torch.bool, device=texture.device)
    known[points.rows] = True
    known = known.view(1, 1, points.resolution, points.resolution).float()
    values = texture.movedim(-1, 0)[None] * known
    kernel = texture.new_ones(1, 1, 3, 3)
    for _ in range(steps):
        count = functional.conv2d(known, kernel, padding=1)
        spread = functional.conv2d(values.movedim(1, 0), kernel, padding=1).movedim(0, 1)
        values = torch.where(known > 0, values, spread / count.clamp_min(1))
        known = (count > 0).float()
        values = values * known
    return values[0].movedim(0, -1)


def nearest_known(
    positions: Float[Tensor, "texels 3"], colours: Float[Tensor, "texels 3"], known: Bool[Tensor, "texels"]
) -> Float[Tensor, "texels 3"]:
    """For each texel the colour of the nearest one in space that is known.

    Args:
        positions: [n, 3] world.
        colours: [n, 3].
        known: [n] bool, at least one of them true.

    Returns:
        [n, 3] on the device of `colours`.
    """
    places = positions.cpu().numpy()
    nearest = cKDTree(places[known.cpu().numpy()]).query(places)[1]
    return colours[known][torch.from_numpy(nearest).to(colours.device)]
