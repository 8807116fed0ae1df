"""Ellipses composited on the CPU by loops that numba compiles on first use, forward and backward.

Gaussians are drawn whole, nearest first, onto an image that remembers how much light is left in each pixel. There is no
list of pairs: the image stays in the processor's cache. The backward pass goes through them from the last to the first,
and finds the light before each by a division, as the first CUDA rasteriser did. One thread; the same bits every time.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.errors import Prior3dError
from prior3d.splats.projection import LEAST_ALPHA, LEAST_TRANSMITTANCE, MOST_ALPHA, Projected

try:
    import numba
except ImportError:  # an extra: splats are drawn in plain torch without it
    numba = None

LEAST, MOST, LIGHT = np.float32(LEAST_ALPHA), np.float32(MOST_ALPHA), np.float32(LEAST_TRANSMITTANCE)
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)


def available() -> bool:
    """Whether numba is installed."""
    return numba is not None


def composite_loops(
    seen: Projected, height: int, width: int
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
    """Colours [height, width, 3] over black, and opacity [height, width]; differentiable to all but depths.

    Raises:
        Prior3dError: numba is not installed, or the splats are not on the CPU.
    """
    _check(seen)
    order = torch.argsort(seen.depths.detach(), stable=True)
    places = (seen.centres, seen.conics, seen.opacities, seen.colours)
    drawn: tuple[Tensor, Tensor] = _Composite.apply(*places, seen.variances.detach(), order, height, width)
    return drawn


@torch.no_grad()
def median_depth_loops(seen: Projected, height: int, width: int) -> Float[Tensor, "height width"]:
    """[height, width] depth of the Gaussian at which less than half of the light is left; 0 where there is none.

    Raises:
        Prior3dError: as `composite_loops`.
    """
    _check(seen)
    order = torch.argsort(seen.depths, stable=True)
    parts = (seen.centres, seen.conics, seen.opacities, seen.variances, seen.depths)
    arrays = [part.detach().contiguous().numpy() for part in parts]
    found = np.zeros((height, width), np.float32)
    _find_depths(order.numpy(), *arrays, np.ones((height, width), np.float32), found)
    return torch.from_numpy(found)


def _check(seen: Projected) -> None:
    """Refuse what the loops cannot draw (raises Prior3dError)."""
    if numba is None:
        raise Prior3dError("the fast rasteriser of splats needs numba: pip install 'prior3d[splats]'")
    if seen.centres.device.type != "cpu":
        raise Prior3dError(f"the fast rasteriser of splats is for the CPU, found splats on {seen.centres.device}")


class _Composite(torch.autograd.Function):
    """The two loops as one differentiable step."""

    @staticmethod
    def forward(ctx: Any, centres: Any, conics: Any, opacities: Any, colours: Any, variances: Any, order: Any,
                height: int, width: int) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Draw, and keep how much light was left and where each pixel ended."""
        arrays = [part.detach().contiguous().numpy() for part in (centres, conics, opacities, colours, variances)]
        image = np.zeros((3, height, width), np.float32)
        light = np.ones((height, width), np.float32)
        ended = np.full((height, width), len(order), np.int32)
        _draw(order.numpy(), *arrays, image, light, ended)
        ctx.save_for_backward(centres, conics, opacities, colours, variances, order)
        ctx.light, ctx.ended = light, ended
        return torch.from_numpy(image).movedim(0, -1), 1 - torch.from_numpy(light)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        """Gradients of centres, conics, opacities and colours."""
        *saved, order = ctx.saved_tensors
        arrays = [part.detach().contiguous().numpy() for part in saved]
        of_image = gradients[0].movedim(-1, 0).contiguous().numpy()
        behind = -gradients[1].numpy() * ctx.light
        found = [np.zeros_like(part) for part in arrays[:4]]
        _draw_backward(order.numpy(), *arrays, of_image, ctx.light.copy(), ctx.ended, behind, *found)
        return (*(torch.from_numpy(part) for part in found), None, None, None, None)


def _compiled(function: Any) -> Any:
    """The function as machine code, kept on disk; itself where there is no numba, which `composite_loops` refuses."""
    if numba is None:
        return function
    return numba.njit(cache=True, nogil=True, fastmath={"contract", "arcp", "nsz"}, error_model="numpy")(function)


@_compiled
@no_type_check
def _rows(centre: Any, variance: Any, opacity: Any, height: int) -> Any:
    """The ellipse's size, squared and in standard deviations; the first and the last row that it may cover."""
    reach = np.float32(2) * np.log(opacity / LEAST)
    half = np.sqrt(reach * variance[1])
    first = max(int(np.ceil(max(centre[1] - half - HALF, -ONE))), 0)
    last = min(int(np.floor(min(centre[1] + half - HALF, np.float32(height)))), height - 1)
    return reach, first, last


@_compiled
@no_type_check
def _columns(centre: Any, conic: Any, reach: Any, y: Any, width: int) -> Any:
    """First and last column that an ellipse may cover in a row that lies y below its centre, a little more than so."""
    inside = conic[1] * conic[1] * y * y - conic[0] * (conic[2] * y * y - reach)
    half = np.sqrt(max(inside, ZERO)) / conic[0] + np.float32(0.01)
    middle = centre[0] - conic[1] * y / conic[0] - HALF
    first = max(int(np.ceil(max(middle - half, -ONE))), 0)
    last = min(int(np.floor(min(middle + half, np.float32(width)))), width - 1)
    return first, last


@_compiled
@no_type_check
def _draw(
    order: Any, centres: Any, conics: Any, opacities: Any, colours: Any, variances: Any, image: Any, light: Any,
    ended: Any,
) -> None:  # fmt: skip
    """Add every Gaussian to `image`, take it from `light`, and note in `ended` with which Gaussian a pixel ended."""
    for rank in range(len(order)):
        k = order[rank]
        if opacities[k] < LEAST:
            continue
        reach, top, bottom = _rows(centres[k], variances[k], opacities[k], len(light))
        for row in range(top, bottom + 1):
            _draw_row(rank, row, reach, centres[k], conics[k], opacities[k], colours[k], image, light[row], ended[row])


@_compiled
@no_type_check
def _draw_row(
    rank: int, row: int, reach: Any, centre: Any, conic: Any, opacity: Any, colour: Any, image: Any, light: Any,
    ended: Any,
) -> None:  # fmt: skip
    """One row of one Gaussian."""
    red, green, blue = colour[0], colour[1], colour[2]
    y = np.float32(row) + HALF - centre[1]
    left, right = _columns(centre, conic, reach, y, len(light))
    square, cross = HALF * conic[2] * y * y, conic[1] * y
    for column in range(left, right + 1):
        if ended[column] <= rank:
            continue
        x = np.float32(column) + HALF - centre[0]
        alpha = min(MOST, opacity * np.exp(-max((HALF * conic[0] * x + cross) * x + square, ZERO)))
        if alpha < LEAST:
            continue
        after = light[column] * (ONE - alpha)
        if after <= LIGHT:
            ended[column] = rank
            continue
        weight = light[column] * alpha
        image[0, row, column] += weight * red
        image[1, row, column] += weight * green
        image[2, row, column] += weight * blue
        light[column] = after


@_compiled
@no_type_check
def _draw_backward(
    order: Any, centres: Any, conics: Any, opacities: Any, colours: Any, variances: Any, of_image: Any, light: Any,
    ended: Any, behind: Any, of_centres: Any, of_conics: Any, of_opacities: Any, of_colours: Any,
) -> None:  # fmt: skip
    """Fill the gradients; `light` and `behind` (what lies behind, times the image's gradient) change on the way."""
    for rank in range(len(order) - 1, -1, -1):
        k = order[rank]
        conic = conics[k]
        if opacities[k] < LEAST:
            continue
        r = g = b = opacity = x = y = xx = xy = yy = ZERO
        reach, top, bottom = _rows(centres[k], variances[k], opacities[k], len(light))
        for row in range(top, bottom + 1):
            found = _row_backward(
                rank, row, reach, centres[k], conic, opacities[k], colours[k], of_image, light[row], ended[row],
                behind[row],
            )  # fmt: skip
            r, g, b, opacity = r + found[0], g + found[1], b + found[2], opacity + found[3]
            x, y, xx, xy, yy = x + found[4], y + found[5], xx + found[6], xy + found[7], yy + found[8]
        of_colours[k, 0], of_colours[k, 1], of_colours[k, 2] = r, g, b
        of_opacities[k] = opacity
        of_centres[k, 0], of_centres[k, 1] = -(conic[0] * x + conic[1] * y), -(conic[1] * x + conic[2] * y)
        of_conics[k, 0], of_conics[k, 1], of_conics[k, 2] = HALF * xx, xy, HALF * yy


@_compiled
@no_type_check
def _row_backward(
    rank: int, row: int, reach: Any, centre: Any, conic: Any, opacity: Any, colour: Any, of_image: Any, light: Any,
    ended: Any, behind: Any,
) -> Any:  # fmt: skip
    """Sums over one row of one Gaussian: of colour (3), opacity, and the distance's derivative times 1, x, y (5)."""
    to_red = to_green = to_blue = to_opacity = to_x = to_one = to_xx = ZERO
    y = np.float32(row) + HALF - centre[1]
    left, right = _columns(centre, conic, reach, y, len(light))
    square, cross = HALF * conic[2] * y * y, conic[1] * y
    for column in range(left, right + 1):
        if ended[column] <= rank:
            continue
        x = np.float32(column) + HALF - centre[0]
        fall = np.exp(-max((HALF * conic[0] * x + cross) * x + square, ZERO))
        alpha = min(MOST, opacity * fall)
        if alpha < LEAST:
            continue
        over = ONE / (ONE - alpha)
        before = light[column] * over
        r, g, b = of_image[0, row, column], of_image[1, row, column], of_image[2, row, column]
        weight, shown = before * alpha, colour[0] * r + colour[1] * g + colour[2] * b
        to_red, to_green, to_blue = to_red + weight * r, to_green + weight * g, to_blue + weight * b
        to_alpha = before * shown - over * behind[column]
        behind[column] += weight * shown
        light[column] = before
        if opacity * fall <= MOST:
            to_opacity += fall * to_alpha
            to_distance = -opacity * fall * to_alpha
            to_one += to_distance
            to_x += to_distance * x
            to_xx += to_distance * x * x
    return to_red, to_green, to_blue, to_opacity, to_x, to_one * y, to_xx, to_x * y, to_one * y * y


@_compiled
@no_type_check
def _find_depths(
    order: Any, centres: Any, conics: Any, opacities: Any, variances: Any, depths: Any, light: Any, found: Any
) -> None:
    """Fill `found` with the depth at which `light` falls below one half."""
    for rank in range(len(order)):
        k = order[rank]
        opacity, centre, conic = opacities[k], centres[k], conics[k]
        if opacity < LEAST:
            continue
        reach, top, bottom = _rows(centre, variances[k], opacity, len(light))
        for row in range(top, bottom + 1):
            y = np.float32(row) + HALF - centre[1]
            left, right = _columns(centre, conic, reach, y, light.shape[1])
            square, cross = HALF * conic[2] * y * y, conic[1] * y
            for column in range(left, right + 1):
                left_over = light[row, column]
                if left_over < HALF:
                    continue
                x = np.float32(column) + HALF - centre[0]
                alpha = min(MOST, opacity * np.exp(-max((HALF * conic[0] * x + cross) * x + square, ZERO)))
                if alpha < LEAST:
                    continue
                light[row, column] = left_over * (ONE - alpha)
                if light[row, column] < HALF:
                    found[row, column] = depths[k]
