"""A z-buffer for many small renders of one mesh: what every sample of every view shows, compiled by numba on first use.

It finds what a ray through each sample would hit first, without a tree of boxes to build: renders of 64 to 128 pixels
are several times as fast as by ray casting. Both sides of a face are seen. Materials that let light through keep a
part of their samples, by an ordered pattern that is shifted from face to face (screen-door transparency).
"""

from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Int, UInt8

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError

try:
    import numba
except ImportError:  # an extra: only training sets are rendered so
    numba = None

ORDER = np.array([0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5], np.float32)  # 4 x 4 ordered dither
INSIDE = 1e-6  # how far below 0 a weight may be: neighbours leave no gap


@dataclass(frozen=True)
class Cutouts:
    """What lets light through.

    Attributes:
        alpha: [materials] of each material as a whole.
        texture: [materials, 3] first texel, width and height of a material's alpha; width 0 where it has none.
        texels: [texels] alpha of all textures, bottom row first.
        material: [faces] of each face.
        uv: [faces, 3, 2] of each corner.
    """

    alpha: Float32[np.ndarray, "materials"]
    texture: Int[np.ndarray, "materials 3"]
    texels: UInt8[np.ndarray, "texels"]
    material: Int[np.ndarray, "faces"]
    uv: Float32[np.ndarray, "faces 3 2"]


@dataclass(frozen=True)
class Seen:
    """What the samples show that show anything.

    Attributes:
        pixel: [n] its pixel among all, [views, size, size] flattened.
        face: [n].
        barycentric: [n, 2] weights of the face's second and third corner, in the world.
        points: [n, 3] world.
        directions: [n, 3] unit, from the camera.
        distance: [n] along the ray.
        image: (views, size, samples of a pixel).
    """

    pixel: Int[np.ndarray, "n"]
    face: Int[np.ndarray, "n"]
    barycentric: Float32[np.ndarray, "n 2"]
    points: Float32[np.ndarray, "n 3"]
    directions: Float32[np.ndarray, "n 3"]
    distance: Float32[np.ndarray, "n"]
    image: tuple[int, int, int]


def visible(
    vertices: Float32[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    cameras: Cameras,
    supersampling: int,
    cutouts: Cutouts | None = None,
) -> Seen:
    """Find what is nearest in every sample.

    Args:
        vertices: world, all in front of the cameras.
        faces: rows of `vertices`.
        cameras: square images, one field of view.
        supersampling: samples along each side of a pixel.
        cutouts: what lets light through; None: nothing.

    Raises:
        Prior3dError: numba is not installed, a corner lies behind a camera, or the images are not square.
    """
    if numba is None:
        raise Prior3dError(
            "the rasteriser of training renders needs numba: pip install 'prior3d[training]', or set "
            "renderer=ray_caster"
        )
    if cameras.width != cameras.height or not (cameras.fov_deg == cameras.fov_deg[0]).all():
        raise Prior3dError("rasteriser: the cameras have images that are not square, or several fields of view")
    fine, focal = cameras.height * supersampling, np.float32(float(cameras.focal_pixels[0]) * supersampling)
    poses = np.ascontiguousarray(cameras.c2w.numpy()[:, :3], np.float32)
    screen = _projected(vertices, poses, fine, focal)
    shown = np.full((len(poses), fine, fine), -1, np.int32)
    nearest = np.zeros((len(poses), fine, fine), np.float32)
    cut = cutouts or _opaque(len(faces))
    _cover(screen, faces, shown, nearest, cut.alpha, cut.texture, cut.texels, cut.material, cut.uv, ORDER)
    sample = np.flatnonzero(shown.ravel() >= 0)
    pixel, face, weights, points, directions, distance = _located(
        screen, faces, shown.ravel(), nearest.ravel(), sample, poses, focal, fine, supersampling
    )
    image = len(poses), cameras.height, supersampling**2
    return Seen(pixel, face, weights, points, directions, distance, image)


def lit(
    seen: Seen, normals: Float32[np.ndarray, "faces 3 3"], sun: Float32[np.ndarray, "3"],
    strengths: tuple[float, float, float],
) -> tuple[Float32[np.ndarray, "n"], Float32[np.ndarray, "n 3"]]:  # fmt: skip
    """Light of what is seen, and its unit normals, turned to the eye.

    Args:
        seen: what is seen.
        normals: of each corner of each face.
        sun: the unit direction towards it; it shines round the edge (half Lambert).
        strengths: of the ambient light, of the sun, and of a lamp beside the camera.
    """
    light, turned = np.empty(len(seen.face), np.float32), np.empty((len(seen.face), 3), np.float32)
    ambient, sunlight, headlight = (np.float32(strength) for strength in strengths)
    _lit(seen.face, seen.barycentric, seen.directions, normals, sun, ambient, sunlight, headlight, light, turned)
    return light, turned


def pixel_means(values: Float32[np.ndarray, "n channels"], seen: Seen) -> Float32[np.ndarray, "views size size more"]:
    """Means over each pixel's samples, 0 for those that show nothing, the last channel the share that does."""
    views, size, samples = seen.image
    image = np.zeros((views * size * size, values.shape[1] + 1), np.float32)
    _summed(np.ascontiguousarray(values), seen.pixel, image)
    image /= np.float32(samples)
    return image.reshape(views, size, size, -1)


def _projected(
    vertices: Float32[np.ndarray, "vertices 3"], poses: Float32[np.ndarray, "views 3 4"], fine: int, focal: np.float32
) -> Float32[np.ndarray, "views vertices 3"]:
    """Places among the samples, and one over the depth."""
    local = (vertices[None] - poses[:, None, :, 3]) @ poses[:, :, :3]
    depth = -local[..., 2]
    if depth.min() <= 0:
        raise Prior3dError("rasteriser: a corner lies behind a camera; move the camera away from the object")
    over = 1 / depth
    screen = np.stack([fine / 2 + local[..., 0] * focal * over, fine / 2 - local[..., 1] * focal * over, over], axis=-1)
    return np.ascontiguousarray(screen, np.float32)


def _opaque(n_faces: int) -> Cutouts:
    return Cutouts(
        np.ones(1, np.float32), np.zeros((1, 3), np.int64), np.zeros(1, np.uint8), np.zeros(n_faces, np.int32),
        np.zeros((n_faces, 3, 2), np.float32),
    )  # fmt: skip


def _compiled(function: Any) -> Any:
    """The function as machine code, kept on disk; itself where there is no numba, which `visible` refuses."""
    if numba is None:
        return function
    return numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")(function)


@_compiled
@no_type_check
def _texel(texture: Any, texels: Any, s: float, t: float) -> float:
    """Alpha of a repeated texture at (s, t)."""
    width, height = texture[1], texture[2]
    column, row = int((s - np.floor(s)) * width) % width, int((t - np.floor(t)) * height) % height
    return float(texels[texture[0] + row * width + column] / np.float32(255))


@_compiled
@no_type_check
def _kept(
    cut: tuple[Any, ...], face: int, side: bool, x: int, y: int, u: float, v: float, corners: Any, value: float
) -> bool:
    """Whether a sample of a material that lets light through is one of those that stay."""
    alphas, texture, texels, materials, uv, order = cut
    material = materials[face]
    alpha = alphas[material]
    if texture[material, 1] > 0:
        b, c = u * corners[1, 2] / value, v * corners[2, 2] / value
        s = (1 - b - c) * uv[face, 0, 0] + b * uv[face, 1, 0] + c * uv[face, 2, 0]
        t = (1 - b - c) * uv[face, 0, 1] + b * uv[face, 1, 1] + c * uv[face, 2, 1]
        alpha *= _texel(texture[material], texels, s, t)
    salt = 0.618034 * (2 * material + (1 if side else 0))  # front and back sides keep other samples
    threshold = (order[(y & 3) * 4 + (x & 3)] + 0.5) / 16 + salt
    return bool(threshold - np.floor(threshold) < alpha)


@_compiled
@no_type_check
def _cover(
    screen: Any, faces: Any, shown: Any, nearest: Any,
    alpha: Any, texture: Any, texels: Any, material: Any, uv: Any, order: Any,
) -> None:  # fmt: skip
    """Fill `shown` with the nearest face of each sample and `nearest` with one over its depth, view by view."""
    fine = shown.shape[1]
    corners = np.empty((3, 3), np.float32)
    cut = (alpha, texture, texels, material, uv, order)
    for view in range(len(screen)):
        for face in range(len(faces)):
            for k in range(3):
                corners[k] = screen[view, faces[face, k]]
            ax, ay, az = corners[0]
            bx, by, cx, cy = corners[1, 0] - ax, corners[1, 1] - ay, corners[2, 0] - ax, corners[2, 1] - ay
            area = bx * cy - by * cx
            if abs(area) < 1e-9:
                continue
            x0 = max(int(np.ceil(ax + min(0.0, bx, cx) - 0.5)), 0)
            x1 = min(int(np.floor(ax + max(0.0, bx, cx) - 0.5)), fine - 1)
            y0 = max(int(np.ceil(ay + min(0.0, by, cy) - 0.5)), 0)
            y1 = min(int(np.floor(ay + max(0.0, by, cy) - 0.5)), fine - 1)
            over, db, dc = 1 / area, corners[1, 2] - az, corners[2, 2] - az
            m = material[face]
            open_ = alpha[m] < 0.999 or texture[m, 1] > 0
            for y in range(y0, y1 + 1):
                sy = y + 0.5 - ay
                for x in range(x0, x1 + 1):
                    sx = x + 0.5 - ax
                    u, v = (cy * sx - cx * sy) * over, (bx * sy - by * sx) * over
                    value = az + u * db + v * dc
                    if u < -INSIDE or v < -INSIDE or u + v > 1 + INSIDE or value <= nearest[view, y, x]:
                        continue
                    if open_ and not _kept(cut, face, area > 0, x, y, u, v, corners, value):
                        continue
                    nearest[view, y, x] = value
                    shown[view, y, x] = face


@_compiled
@no_type_check
def _located(
    screen: Any, faces: Any, shown: Any, nearest: Any, samples: Any, poses: Any, focal: Any, fine: int, side: int
) -> Any:
    """Pixels, faces, world weights, points, ray directions and distances of the samples that show something."""
    n, size = len(samples), fine // side
    pixel, face, weights = np.empty(n, np.int64), np.empty(n, np.int32), np.empty((n, 2), np.float32)
    points, directions, distance = np.empty((n, 3), np.float32), np.empty((n, 3), np.float32), np.empty(n, np.float32)
    for i in range(n):
        sample = samples[i]
        view, y, x = sample // (fine * fine), sample // fine % fine, sample % fine
        f, over, pose = shown[sample], nearest[sample], poses[view]
        a, b, c = screen[view, faces[f, 0]], screen[view, faces[f, 1]], screen[view, faces[f, 2]]
        area = 1 / ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
        sx, sy = x + np.float32(0.5) - a[0], y + np.float32(0.5) - a[1]
        weights[i, 0] = ((c[1] - a[1]) * sx - (c[0] - a[0]) * sy) * area * b[2] / over
        weights[i, 1] = ((b[0] - a[0]) * sy - (b[1] - a[1]) * sx) * area * c[2] / over
        lx, ly = (x + np.float32(0.5 - 0.5 * fine)) / focal, (np.float32(0.5 * fine - 0.5) - y) / focal
        stretch = np.sqrt(lx * lx + ly * ly + np.float32(1))
        for k in range(3):
            ray = pose[k, 0] * lx + pose[k, 1] * ly - pose[k, 2]
            directions[i, k] = ray / stretch
            points[i, k] = pose[k, 3] + ray / over
        pixel[i], face[i], distance[i] = (view * size + y // side) * size + x // side, f, stretch / over
    return pixel, face, weights, points, directions, distance


@_compiled
@no_type_check
def _lit(
    face: Any, weights: Any, directions: Any, normals: Any, sun: Any, ambient: Any, sunlight: Any, headlight: Any,
    light: Any, turned: Any,
) -> None:  # fmt: skip
    """Fill `light` [n] and `turned` [n, 3]; see `lit`."""
    for i in range(len(face)):
        corners, u, v = normals[face[i]], weights[i, 0], weights[i, 1]
        w = 1 - u - v
        x = w * corners[0, 0] + u * corners[1, 0] + v * corners[2, 0]
        y = w * corners[0, 1] + u * corners[1, 1] + v * corners[2, 1]
        z = w * corners[0, 2] + u * corners[1, 2] + v * corners[2, 2]
        along = x * directions[i, 0] + y * directions[i, 1] + z * directions[i, 2]
        over = np.float32(1) / max(np.sqrt(x * x + y * y + z * z), np.float32(1e-9))
        over = -over if along > 0 else over
        turned[i, 0], turned[i, 1], turned[i, 2] = x * over, y * over, z * over
        facing = turned[i, 0] * sun[0] + turned[i, 1] * sun[1] + turned[i, 2] * sun[2]
        light[i] = ambient + sunlight * (np.float32(0.5) + np.float32(0.5) * facing) + headlight * abs(along * over)


@_compiled
@no_type_check
def _summed(values: Any, pixels: Any, image: Any) -> None:
    """Add each sample's values to its pixel, and 1 to the last channel."""
    channels = values.shape[1]
    for i in range(len(pixels)):
        row = pixels[i]
        for k in range(channels):
            image[row, k] += values[i, k]
        image[row, channels] += np.float32(1)
