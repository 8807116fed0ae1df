"""Gaussians as a camera sees them, on the CPU by loops that numba compiles: what `projection.project` says, faster.

One Gaussian after the other, forward and backward; the backward pass computes again what it needs, as nothing but the
given tensors is kept. The same bits every time.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from torch import Tensor

from prior3d.cameras import Cameras, opengl_to_opencv
from prior3d.splats.harmonics_loops import fill_harmonics
from prior3d.splats.kernels import HALF, ONE, TWO, ZERO, compiled
from prior3d.splats.model import HIGHEST_DEGREE, Splats
from prior3d.splats.projection import BLUR, NEAR_PLANE, SLOPE_MARGIN, Projected

MOST_COEFFICIENTS = (HIGHEST_DEGREE + 1) ** 2
NEAR, WIDENED, TINY = np.float32(NEAR_PLANE), np.float32(BLUR), np.float32(1e-12)


def project_loops(splats: Splats, camera: Cameras) -> Projected:
    """Project all Gaussians into the image of one camera; differentiable to the splats, but for variances and depths.

    Args:
        splats: on the CPU, in 32-bit floats.
        camera: a batch of one.
    """
    c2w = opengl_to_opencv(camera.c2w)[0].float()
    focal, half = camera.focal_pixels[0].float(), torch.tensor([camera.width / 2, camera.height / 2])
    lens = torch.cat([focal[None], half, (1 + SLOPE_MARGIN) * half / focal, c2w[:3, 3]])
    parts = (splats.means, splats.quats, splats.scales, splats.opacities, splats.coefficients)
    found: tuple[Tensor, ...] = _Project.apply(*parts, c2w[:3, :3], lens)
    return Projected(*found)


class _Project(torch.autograd.Function):
    """The two loops as one differentiable step."""

    @staticmethod
    def forward(ctx: Any, means: Any, quats: Any, scales: Any, opacities: Any, coefficients: Any, turn: Any,
                lens: Any) -> tuple[Tensor, ...]:  # fmt: skip
        """Centres, conics, variances, opacities, colours, depths."""
        given = (means, quats, scales, opacities, coefficients, turn, lens)
        n = len(means)
        found = [np.zeros((n, width) if width else n, np.float32) for width in (2, 3, 2, 0, 3, 0)]
        _project(*(part.detach().contiguous().numpy() for part in given), *found)
        ctx.save_for_backward(*given)
        tensors = [torch.from_numpy(part) for part in found]
        ctx.mark_non_differentiable(tensors[2], tensors[5])
        return tuple(tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        """Gradients of the splats' tensors."""
        arrays = [part.detach().contiguous().numpy() for part in ctx.saved_tensors]
        chosen = [gradients[k].contiguous().numpy() for k in (0, 1, 3, 4)]
        found = [np.zeros_like(part) for part in arrays[:5]]
        _project_backward(*arrays, *chosen, *found)
        return (*(torch.from_numpy(part) for part in found), None, None)


@compiled
@no_type_check
def _rotation(quat: Any, matrix: Any, unit: Any) -> Any:
    """Fill the unit quaternion and its rotation matrix; one over the quaternion's length."""
    over = ONE / max(np.sqrt(quat[0] ** 2 + quat[1] ** 2 + quat[2] ** 2 + quat[3] ** 2), TINY)
    for k in range(4):
        unit[k] = quat[k] * over
    w, x, y, z = unit[0], unit[1], unit[2], unit[3]
    matrix[0, 0], matrix[0, 1], matrix[0, 2] = ONE - TWO * (y * y + z * z), TWO * (x * y - w * z), TWO * (x * z + w * y)
    matrix[1, 0], matrix[1, 1], matrix[1, 2] = TWO * (x * y + w * z), ONE - TWO * (x * x + z * z), TWO * (y * z - w * x)
    matrix[2, 0], matrix[2, 1], matrix[2, 2] = TWO * (x * z - w * y), TWO * (y * z + w * x), ONE - TWO * (x * x + y * y)
    return over


@compiled
@no_type_check
def _quat_backward(unit: Any, over: Any, g: Any, out: Any) -> None:
    """The gradient of a quaternion from that of its rotation matrix."""
    w, x, y, z = unit[0], unit[1], unit[2], unit[3]
    xy, xz, yz = g[0, 1] + g[1, 0], g[0, 2] + g[2, 0], g[1, 2] + g[2, 1]
    about_x, about_y, about_z = g[2, 1] - g[1, 2], g[0, 2] - g[2, 0], g[1, 0] - g[0, 1]
    to_w = TWO * (x * about_x + y * about_y + z * about_z)
    to_x = TWO * (y * xy + z * xz - TWO * x * (g[1, 1] + g[2, 2]) + w * about_x)
    to_y = TWO * (x * xy + z * yz - TWO * y * (g[0, 0] + g[2, 2]) + w * about_y)
    to_z = TWO * (x * xz + y * yz - TWO * z * (g[0, 0] + g[1, 1]) + w * about_z)
    along = w * to_w + x * to_x + y * to_y + z * to_z
    out[0], out[1] = (to_w - w * along) * over, (to_x - x * along) * over
    out[2], out[3] = (to_y - y * along) * over, (to_z - z * along) * over


@compiled
@no_type_check
def _local(mean: Any, turn: Any, lens: Any) -> Any:
    """From the camera to a Gaussian: along its right, down and forward axes, then along the world's."""
    a, b, c = mean[0] - lens[5], mean[1] - lens[6], mean[2] - lens[7]
    x = a * turn[0, 0] + b * turn[1, 0] + c * turn[2, 0]
    y = a * turn[0, 1] + b * turn[1, 1] + c * turn[2, 1]
    z = a * turn[0, 2] + b * turn[1, 2] + c * turn[2, 2]
    return x, y, z, a, b, c


@compiled
@no_type_check
def _flattened(matrix: Any, scale: Any, turn: Any, cut_x: Any, cut_y: Any, zoom: Any, axes: Any, flat: Any) -> Any:
    """Fill the Gaussian's axes as the camera has them, and in the image; the variances xx, xy, yy."""
    xx, xy, yy = WIDENED, ZERO, WIDENED
    for k in range(3):
        size = np.exp(scale[k])
        for j in range(3):
            axes[j, k] = size * (turn[0, j] * matrix[0, k] + turn[1, j] * matrix[1, k] + turn[2, j] * matrix[2, k])
        flat[0, k] = (axes[0, k] - cut_x * axes[2, k]) * zoom
        flat[1, k] = (axes[1, k] - cut_y * axes[2, k]) * zoom
        xx, xy, yy = xx + flat[0, k] ** 2, xy + flat[0, k] * flat[1, k], yy + flat[1, k] ** 2
    return xx, xy, yy


@compiled
@no_type_check
def _colour(coefficients: Any, values: Any, channel: int) -> Any:
    """A channel of a Gaussian's colour, before the cut at 0."""
    summed = HALF
    for k in range(len(coefficients)):
        summed += values[k, 0] * coefficients[k, channel]
    return summed


@compiled
@no_type_check
def _project(
    means: Any, quats: Any, scales: Any, opacities: Any, coefficients: Any, turn: Any, lens: Any,
    centres: Any, conics: Any, variances: Any, shown: Any, colours: Any, depths: Any,
) -> None:  # fmt: skip
    """Fill what `Projected` holds. `lens`: focal length, middle (2), largest slopes (2), the camera's place (3)."""
    matrix, axes, flat = np.empty((3, 3), np.float32), np.empty((3, 3), np.float32), np.empty((2, 3), np.float32)
    unit, values = np.empty(4, np.float32), np.empty((MOST_COEFFICIENTS, 4), np.float32)
    for k in range(len(means)):
        x, y, z, a, b, c = _local(means[k], turn, lens)
        depths[k] = z
        conics[k, 0], conics[k, 2], variances[k, 0], variances[k, 1] = ONE, ONE, ONE, ONE
        if z <= NEAR:
            continue
        zoom, slope_x, slope_y = lens[0] / z, x / z, y / z
        cut_x, cut_y = min(max(slope_x, -lens[3]), lens[3]), min(max(slope_y, -lens[4]), lens[4])
        _rotation(quats[k], matrix, unit)
        xx, xy, yy = _flattened(matrix, scales[k], turn, cut_x, cut_y, zoom, axes, flat)
        over = ONE / (xx * yy - xy * xy)
        centres[k, 0], centres[k, 1] = slope_x * lens[0] + lens[1], slope_y * lens[0] + lens[2]
        conics[k, 0], conics[k, 1], conics[k, 2] = yy * over, -xy * over, xx * over
        variances[k, 0], variances[k, 1] = xx, yy
        shown[k] = ONE / (ONE + np.exp(-opacities[k]))
        away = ONE / max(np.sqrt(a * a + b * b + c * c), TINY)
        fill_harmonics(a * away, b * away, c * away, coefficients.shape[1], values)
        for channel in range(3):
            colours[k, channel] = max(_colour(coefficients[k], values, channel), ZERO)


@compiled
@no_type_check
def _project_backward(
    means: Any, quats: Any, scales: Any, opacities: Any, coefficients: Any, turn: Any, lens: Any, of_centres: Any,
    of_conics: Any, of_shown: Any, of_colours: Any, to_means: Any, to_quats: Any, to_scales: Any, to_opacities: Any,
    to_coefficients: Any,
) -> None:  # fmt: skip
    """Fill the gradients of the splats' tensors."""
    matrix, axes, flat = np.empty((3, 3), np.float32), np.empty((3, 3), np.float32), np.empty((2, 3), np.float32)
    unit, values = np.empty(4, np.float32), np.empty((MOST_COEFFICIENTS, 4), np.float32)
    to_matrix = np.empty((3, 3), np.float32)
    for k in range(len(means)):
        x, y, z, a, b, c = _local(means[k], turn, lens)
        if z <= NEAR:
            continue
        share = ONE / (ONE + np.exp(-opacities[k]))
        to_opacities[k] = of_shown[k] * share * (ONE - share)
        zoom, slope_x, slope_y = lens[0] / z, x / z, y / z
        cut_x, cut_y = min(max(slope_x, -lens[3]), lens[3]), min(max(slope_y, -lens[4]), lens[4])
        over = _rotation(quats[k], matrix, unit)
        xx, xy, yy = _flattened(matrix, scales[k], turn, cut_x, cut_y, zoom, axes, flat)
        to_xx, to_xy, to_yy = _variances_backward(xx, xy, yy, of_conics[k])
        to_cut_x, to_cut_y, to_zoom = _axes_backward(
            to_xx, to_xy, to_yy, flat, axes, cut_x, cut_y, zoom, turn, matrix, scales[k], to_matrix, to_scales[k]
        )
        _quat_backward(unit, over, to_matrix, to_quats[k])
        to_slope_x = of_centres[k, 0] * lens[0] + (to_cut_x if cut_x == slope_x else ZERO)
        to_slope_y = of_centres[k, 1] * lens[0] + (to_cut_y if cut_y == slope_y else ZERO)
        to_x, to_y = to_slope_x / z, to_slope_y / z
        to_z = -(to_slope_x * slope_x + to_slope_y * slope_y + to_zoom * zoom) / z
        for i in range(3):
            to_means[k, i] = turn[i, 0] * to_x + turn[i, 1] * to_y + turn[i, 2] * to_z
        _colours_backward(a, b, c, coefficients[k], values, of_colours[k], to_coefficients[k], to_means[k])


@compiled
@no_type_check
def _variances_backward(xx: Any, xy: Any, yy: Any, of_conic: Any) -> Any:
    """Gradients of the variances from those of their inverse."""
    over = ONE / (xx * yy - xy * xy)
    p, q, r = yy * over, -xy * over, xx * over
    g, h, i = of_conic[0], HALF * of_conic[1], of_conic[2]
    to_xx = -(p * (p * g + q * h) + q * (p * h + q * i))
    to_xy = -TWO * (q * (p * g + q * h) + r * (p * h + q * i))
    to_yy = -(q * (q * g + r * h) + r * (q * h + r * i))
    return to_xx, to_xy, to_yy


@compiled
@no_type_check
def _axes_backward(
    to_xx: Any, to_xy: Any, to_yy: Any, flat: Any, axes: Any, cut_x: Any, cut_y: Any, zoom: Any, turn: Any, matrix: Any,
    scale: Any, to_matrix: Any, to_scale: Any,
) -> Any:  # fmt: skip
    """Fill the gradients of the rotation matrix and the scales; those of the cut slopes and of the zoom."""
    to_cut_x = to_cut_y = to_zoom = ZERO
    for k in range(3):
        to_u = TWO * to_xx * flat[0, k] + to_xy * flat[1, k]
        to_v = TWO * to_yy * flat[1, k] + to_xy * flat[0, k]
        to_cut_x, to_cut_y = to_cut_x - to_u * axes[2, k] * zoom, to_cut_y - to_v * axes[2, k] * zoom
        to_zoom += (to_u * flat[0, k] + to_v * flat[1, k]) / zoom
        first, second, third = to_u * zoom, to_v * zoom, -(cut_x * to_u + cut_y * to_v) * zoom
        size, summed = np.exp(scale[k]), ZERO
        for i in range(3):
            to_axis = (turn[i, 0] * first + turn[i, 1] * second + turn[i, 2] * third) * size
            to_matrix[i, k] = to_axis
            summed += to_axis * matrix[i, k]
        to_scale[k] = summed
    return to_cut_x, to_cut_y, to_zoom


@compiled
@no_type_check
def _colours_backward(
    a: Any, b: Any, c: Any, coefficients: Any, values: Any, of_colour: Any, to_coefficients: Any, to_mean: Any
) -> None:
    """Fill the gradients of the coefficients, and add to that of the centre, as the direction depends on it."""
    away = ONE / max(np.sqrt(a * a + b * b + c * c), TINY)
    x, y, z = a * away, b * away, c * away
    fill_harmonics(x, y, z, len(coefficients), values)
    to_x = to_y = to_z = ZERO
    for channel in range(3):
        if _colour(coefficients, values, channel) < ZERO:
            continue
        of = of_colour[channel]
        for k in range(len(coefficients)):
            to_coefficients[k, channel] = of * values[k, 0]
            by = of * coefficients[k, channel]
            to_x, to_y, to_z = to_x + by * values[k, 1], to_y + by * values[k, 2], to_z + by * values[k, 3]
    along = x * to_x + y * to_y + z * to_z
    to_mean[0] += (to_x - x * along) * away
    to_mean[1] += (to_y - y * along) * away
    to_mean[2] += (to_z - z * along) * away
