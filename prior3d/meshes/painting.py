"""Images of a textured mesh that are differentiable in the texture.

What a pixel shows does not depend on the texture: it is found once, without a gradient, as rows and weights of texels.
The image is then a weighted sum of texels.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int, Num
from scipy.spatial import cKDTree
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.fields.trilinear import weighted_rows
from prior3d.meshes.atlas import Atlas, dilate, texels
from prior3d.meshes.mesh import Mesh, UvMesh, vertex_normals
from prior3d.meshes.raster import Raycaster
from prior3d.rendering.raster import Fragments, rasterise
from prior3d.rendering.rays import rays


class Texture(nn.Module):
    """A texture [height, width, channels] that is optimised, as a module, so that checkpoints hold it."""

    def __init__(self, values: Float[Tensor, "height width channels"]):
        super().__init__()
        self.values = nn.Parameter(values.clone())


@dataclass(frozen=True)
class TexelWeights:
    """Which texels make up the pixels of some views.

    Attributes:
        shape: views, height, width.
        pixels: [n] the pixels that show the mesh, as rows of all views' pixels.
        rows: [n, k] texels, as rows of the texture's texels.
        weights: [n, k]; their sum is the share of the pixel that is covered.
        cos_theta: [n] cosine between the line of sight and the surface's normal, mean over the covered part.
    """

    shape: tuple[int, int, int]
    pixels: Int[Tensor, "pixels"]
    rows: Int[Tensor, "pixels texels"]
    weights: Float[Tensor, "pixels texels"]
    cos_theta: Float[Tensor, "pixels"]

    def to_images(self, values: Float[Tensor, "pixels channels"]) -> Float[Tensor, "views height width channels"]:
        """Values [n, channels] of the pixels that show the mesh in whole images, 0 elsewhere: [views, h, w, c]."""
        n_pixels = self.shape[0] * self.shape[1] * self.shape[2]
        whole = values.new_zeros(n_pixels, values.shape[1]).index_copy(0, self.pixels, values)
        return whole.view(*self.shape, -1)

    @property
    def coverage(self) -> Float[Tensor, "views height width"]:
        """[views, height, width] share of each pixel that shows the mesh."""
        return self.to_images(self.weights.sum(1, keepdim=True))[..., 0]

    def render(self, texture: Float[Tensor, "rows columns channels"]) -> Float[Tensor, "views height width channels"]:
        """Images [views, h, w, channels], premultiplied by the coverage, of a texture [height, width, channels].

        Differentiable in the texture.
        """
        return self.to_images(self.colours(texture))

    def colours(self, texture: Float[Tensor, "rows columns channels"]) -> Float[Tensor, "pixels channels"]:
        """The pixels that show the mesh, [n, channels], premultiplied; differentiable in the texture."""
        return weighted_rows(texture.reshape(-1, texture.shape[-1]), self.rows, self.weights)


class Surface:
    """A mesh with UVs, prepared to be looked at many times."""

    def __init__(self, mesh: UvMesh, device: torch.device | str):
        """Place the mesh in the world; rays are cast on the CPU, elsewhere the z-buffer is used."""
        placed = mesh.world_vertices()
        self.device = torch.device(device)
        self.vertices = torch.from_numpy(placed.astype(np.float32)).to(self.device)
        self.faces = torch.from_numpy(mesh.faces).to(self.device)
        self.corner_uv = torch.from_numpy(mesh.uv[mesh.uv_faces].astype(np.float32)).to(self.device)
        corners = self.vertices[self.faces]
        normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.normals = functional.normalize(normals, dim=-1)
        self._caster = Raycaster(Mesh(placed, mesh.faces)) if self.device.type == "cpu" else None

    def fragments(self, cameras: Cameras) -> Fragments:
        """What each pixel shows."""
        if self._caster is None:
            return rasterise(self.vertices, self.faces, cameras)
        hits = self._caster.cast(*(values.numpy() for values in rays(cameras)))
        face = np.where(hits.mask, hits.face.astype(np.int64), -1)
        barycentric = np.where(hits.mask[..., None], hits.barycentric, 0).astype(np.float32)
        return Fragments(torch.from_numpy(face), torch.from_numpy(barycentric))

    def texel_weights(
        self, cameras: Cameras, resolution: int, supersampling: int, nearest: bool = False
    ) -> TexelWeights:
        """Find the texels of every pixel.

        Args:
            cameras: [views], on the surface's device.
            resolution: side of the texture in texels.
            supersampling: a pixel is the mean of this many samples squared.
            nearest: take the texel of each sample (the paper) instead of interpolating between four.
        """
        height, width, s = cameras.height, cameras.width, supersampling
        found = self.fragments(cameras.resized(height * s, width * s))
        face = _by_pixel(found.face[..., None], s)[..., 0]
        barycentric = _by_pixel(found.barycentric, s)
        pixels = (face >= 0).any(1).nonzero()[:, 0]
        face, barycentric = face[pixels], barycentric[pixels]
        there = face >= 0
        face = face.clamp_min(0)
        uv = (self.corner_uv[face] * barycentric[..., None]).sum(-2)
        rows, weights = _texels(uv, resolution, nearest)
        weights = weights * there[..., None] / s**2
        sight = (self.vertices[self.faces[face]] * barycentric[..., None]).sum(-2)
        sight = functional.normalize(sight - cameras.positions[pixels // (height * width)][:, None], dim=-1)
        cos_theta = ((self.normals[face] * sight).sum(-1).abs() * there).sum(1) / there.sum(1)
        return TexelWeights((cameras.views, height, width), pixels, rows.flatten(1), weights.flatten(1), cos_theta)


def _by_pixel(
    fine: Num[Tensor, "views fine_height fine_width channels"], s: int
) -> Num[Tensor, "pixels samples channels"]:
    """[views, height s, width s, c] to [views height width, s s, c]."""
    views, height, width, channels = fine.shape
    blocks = fine.view(views, height // s, s, width // s, s, channels).transpose(2, 3)
    return blocks.reshape(-1, s * s, channels)


def _texels(
    uv: Float[Tensor, "*samples 2"], resolution: int, nearest: bool
) -> tuple[Int[Tensor, "*samples texels"], Float[Tensor, "*samples texels"]]:
    """Rows of texels and their weights, each [..., 4] (or [..., 1]), at uv [..., 2] with v upwards."""
    places = torch.stack([uv[..., 0], 1 - uv[..., 1]], -1) * resolution
    if nearest:
        column, row = places.floor().long().clamp(0, resolution - 1).unbind(-1)
        return (row * resolution + column)[..., None], torch.ones_like(places[..., :1])
    places = (places - 0.5).clamp(0, resolution - 1)
    low = places.floor().clamp_max(resolution - 2)
    (x, y), (column, row) = (places - low).unbind(-1), low.long().unbind(-1)
    first = row * resolution + column
    rows = torch.stack([first, first + 1, first + resolution, first + resolution + 1], -1)
    return rows, torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], -1)


class TextureTargets(nn.Module):
    """What the mesh's pixels should be in each view; a module, so that checkpoints hold it.

    Attributes:
        colours: [pixels of all views, 3], premultiplied by the coverage.
        trust: [pixels of all views] in [0, 1], how far the view is believed there.
    """

    colours: Float[Tensor, "pixels 3"]
    trust: Float[Tensor, "pixels"]

    def __init__(self, counts: list[int], device: torch.device | str):
        """Begin black, with so many pixels in each view."""
        super().__init__()
        self.counts = counts
        self.register_buffer("colours", torch.zeros(sum(counts), 3, device=device))
        self.register_buffer("trust", torch.zeros(sum(counts), device=device))

    def of(self, view: int) -> tuple[Float[Tensor, "pixels 3"], Float[Tensor, "pixels"]]:
        """Colours [pixels of the view, 3] and trust [pixels of the view]."""
        return self.colours.split(self.counts)[view], self.trust.split(self.counts)[view]

    def put(self, view: int, colours: Float[Tensor, "pixels 3"], trust: Float[Tensor, "pixels"]) -> None:
        """Replace a view's."""
        for held, new in zip(self.of(view), (colours, trust), strict=True):
            held.copy_(new)


def texel_evidence(
    texel_weights: list[TexelWeights], weights: list[Float[Tensor, "_"]], resolution: int, reach: int = 5
) -> Float[Tensor, "resolution resolution"]:
    """The greatest weight with which any view's pixel shows each texel or one near it: [resolution, resolution].

    Args:
        texel_weights: of the views.
        weights: of each view's pixels that show the mesh, [n] each.
        resolution: side of the texture in texels.
        reach: side of the square that counts as near, odd; rays do not meet every texel.
    """
    evidence = torch.zeros(resolution**2, device=weights[0].device)
    for seen, weight in zip(texel_weights, weights, strict=True):
        shown = (seen.weights > 0) * weight[:, None]
        evidence.scatter_reduce_(0, seen.rows.flatten(), shown.flatten(), "amax")
    whole = evidence.view(1, 1, resolution, resolution)
    return functional.max_pool2d(whole, reach, stride=1, padding=reach // 2)[0, 0]


def weighted_huber(
    found: Float[Tensor, "pixels 3"],
    wanted: Float[Tensor, "pixels 3"],
    weights: Float[Tensor, "pixels"],
    delta: float = 0.1,
) -> Float[Tensor, ""]:
    """Weighted mean of Huber's loss of colours [n, 3], divided by delta: as the difference where that is large."""
    loss = functional.huber_loss(found, wanted, delta=delta, reduction="none").mean(-1) / delta
    return (loss * weights).sum() / weights.sum().clamp_min(1e-6)


def texture_total_variation(texture: Float[Tensor, "height width channels"]) -> Float[Tensor, ""]:
    """Mean difference of neighbouring texels of [height, width, channels], smooth near 0 (Charbonnier)."""
    across, down = texture[:, 1:] - texture[:, :-1], texture[1:] - texture[:-1]
    first, second = ((((d**2).sum(-1) + 1e-6).sqrt() - 1e-3).mean() for d in (across, down))
    return (first + second) / 2


def fill_unseen_texels(
    mesh: UvMesh, texture: Float[Tensor, "resolution resolution 3"], seen: Bool[Tensor, "resolution resolution"]
) -> tuple[Float[np.ndarray, "resolution resolution 3"], float]:
    """Fill what no view has shown, and grow the charts beyond their seams.

    Args:
        mesh: with UVs.
        texture: [resolution, resolution, 3].
        seen: [resolution, resolution] bool, texels that were fitted.

    Returns:
        the texture in [0, 1], and the share of the surface's texels that were seen.
    """
    resolution = texture.shape[0]
    atlas = mesh.split(mesh.world_vertices(), np.zeros((1, 1, 3)))
    flat = Atlas(atlas.vertices, atlas.faces, atlas.uv, vertex_normals(atlas.vertices, atlas.faces), 0)
    places = texels(flat, resolution)
    colours, there = texture.clamp(0, 1).cpu().numpy().astype(np.float32), seen.cpu().numpy()
    known = there[places.rows, places.columns]
    if known.any() and not known.all():
        nearest = cKDTree(places.positions[known]).query(places.positions[~known])[1]
        filled = colours[places.rows[known], places.columns[known]][nearest]
        colours[places.rows[~known], places.columns[~known]] = filled
    on_surface = np.zeros((resolution, resolution), bool)
    on_surface[places.rows, places.columns] = True
    return dilate(colours, on_surface | there, steps=8).clip(0, 1), float(known.mean())
