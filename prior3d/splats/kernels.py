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
BACKWARD_WIDTH = 8  # floats of a pixel: three gradients, light, what lies behind, where it ended; a power of two
ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)


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
        pixels = np.zeros((height, width, 4), np.float32)
        pixels[..., 3] = 1
        ended = np.full((height, width), len(order), np.int32)
        _draw(order.numpy(), *arrays, pixels, ended)
        ctx.save_for_backward(centres, conics, opacities, colours, variances, order)
        ctx.light, ctx.ended = np.abs(pixels[..., 3]), ended
        return torch.from_numpy(pixels[..., :3].copy()), torch.from_numpy(1 - ctx.light)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        """Gradients of centres, conics, opacities and colours."""
        *saved, order = ctx.saved_tensors
        arrays = [part.detach().contiguous().numpy() for part in saved]
        pixels = np.empty((*ctx.light.shape, BACKWARD_WIDTH), np.float32)
        pixels[..., :3], pixels[..., 3], pixels[..., 5] = gradients[0].numpy(), ctx.light, ctx.ended
        pixels[..., 4] = -gradients[1].numpy() * ctx.light
        found = [np.zeros_like(part) for part in arrays[:4]]
        _draw_backward(order.numpy(), *arrays, pixels, *found)
        return (*(torch.from_numpy(part) for part in found), None, None, None, None)


def compiled(function: Any) -> Any:
    """The function as machine code, kept on disk; itself where there is no numba, which `composite_loops` refuses."""
    if numba is None:
        return function
    return numba.njit(cache=True, nogil=True, fastmath={"contract", "arcp", "nsz"}, error_model="numpy")(function)


@compiled
@no_type_check
def _rows(centre: Any, variance: Any, opacity: Any, height: int) -> Any:
    """The ellipse's size, squared and in standard deviations; the first and the last row that it may cover."""
    reach = np.float32(2) * np.log(opacity / LEAST)
    half = np.sqrt(reach * variance[1])
    first = max(int(np.ceil(max(centre[1] - half - HALF, -ONE))), 0)
    last = min(int(np.floor(min(centre[1] + half - HALF, np.float32(height)))), height - 1)
    return reach, first, last


@compiled
@no_type_check
def _columns(middle: Any, conic: Any, over: Any, reach: Any, y: Any, width: int) -> Any:
    """First and last column that an ellipse may cover in a row that lies y below its centre, a little more than so.

    `over` is one over the first element of the conic.
    """
    inside = conic[1] * conic[1] * y * y - conic[0] * (conic[2] * y * y - reach)
    half = np.sqrt(max(inside, ZERO)) * over + np.float32(0.01)
    place = middle - conic[1] * y * over - HALF
    first = max(int(np.ceil(max(place - half, -ONE))), 0)
    last = min(int(np.floor(min(place + half, np.float32(width)))), width - 1)
    return first, last


@compiled
@no_type_check
def _draw(
    order: Any, centres: Any, conics: Any, opacities: Any, colours: Any, variances: Any, pixels: Any, ended: Any
) -> None:
    """Add every Gaussian to `pixels`: red, green, blue and the light that is left, below 0 where the pixel has ended.

    `ended` notes with which Gaussian it did.
    """
    height, width = pixels.shape[0], pixels.shape[1]
    for rank in range(len(order)):
        k = order[rank]
        opacity, conic, colour, middle = opacities[k], conics[k], colours[k], centres[k, 0]
        if opacity < LEAST:
            continue
        reach, top, bottom = _rows(centres[k], variances[k], opacity, height)
        over = ONE / conic[0]
        for row in range(top, bottom + 1):
            y = np.float32(row) + HALF - centres[k, 1]
            left, right = _columns(middle, conic, over, reach, y, width)
            _draw_row(rank, left, right, middle, y, conic, opacity, colour, pixels[row], ended[row])


@compiled
@no_type_check
def _draw_row(
    rank: int, left: int, right: int, middle: Any, y: Any, conic: Any, opacity: Any, colour: Any, pixels: Any,
    ended: Any,
) -> None:  # fmt: skip
    """One row of one Gaussian."""
    red, green, blue = colour[0], colour[1], colour[2]
    bend, cross, square = HALF * conic[0], conic[1] * y, HALF * conic[2] * y * y
    for column in range(left, right + 1):
        light = pixels[column, 3]
        if light < ZERO:
            continue
        x = np.float32(column) + HALF - middle
        alpha = min(MOST, opacity * np.exp(-max((bend * x + cross) * x + square, ZERO)))
        if alpha < LEAST:
            continue
        after = light * (ONE - alpha)
        if after <= LIGHT:
            ended[column], pixels[column, 3] = rank, -light
            continue
        weight = light * alpha
        pixels[column, 0] += weight * red
        pixels[column, 1] += weight * green
        pixels[column, 2] += weight * blue
        pixels[column, 3] = after


@compiled
@no_type_check
def _draw_backward(
    order: Any, centres: Any, conics: Any, opacities: Any, colours: Any, variances: Any, pixels: Any,
    of_centres: Any, of_conics: Any, of_opacities: Any, of_colours: Any,
) -> None:  # fmt: skip
    """Fill the gradients; the light and what lies behind (times the image's gradient) change in `pixels` on the way."""
    height, width = pixels.shape[0], pixels.shape[1]
    for rank in range(len(order) - 1, -1, -1):
        k = order[rank]
        conic, middle = conics[k], centres[k, 0]
        if opacities[k] < LEAST:
            continue
        r = g = b = opacity = x = y = xx = xy = yy = ZERO
        reach, top, bottom = _rows(centres[k], variances[k], opacities[k], height)
        over = ONE / conic[0]
        for row in range(top, bottom + 1):
            below = np.float32(row) + HALF - centres[k, 1]
            left, right = _columns(middle, conic, over, reach, below, width)
            found = _row_backward(
                np.float32(rank), left, right, middle, below, conic, opacities[k], colours[k], pixels[row]
            )
            r, g, b, opacity = r + found[0], g + found[1], b + found[2], opacity + found[3]
            x, y, xx, xy, yy = x + found[4], y + found[5], xx + found[6], xy + found[7], yy + found[8]
        of_colours[k, 0], of_colours[k, 1], of_colours[k, 2] = r, g, b
        of_opacities[k] = opacity
        of_centres[k, 0], of_centres[k, 1] = -(conic[0] * x + conic[1] * y), -(conic[1] * x + conic[2] * y)
        of_conics[k, 0], of_conics[k, 1], of_conics[k, 2] = HALF * xx, xy, HALF * yy


@compiled
@no_type_check
def _row_backward(
    rank: Any, left: int, right: int, middle: Any, y: Any, conic: Any, opacity: Any, colour: Any, pixels: Any
) -> Any:
    """Sums over one row of one Gaussian: of colour (3), opacity, and the distance's derivative times 1, x, y (5)."""
    to_red = to_green = to_blue = to_opacity = to_x = to_one = to_xx = ZERO
    red, green, blue = colour[0], colour[1], colour[2]
    bend, cross, square = HALF * conic[0], conic[1] * y, HALF * conic[2] * y * y
    for column in range(left, right + 1):
        if pixels[column, 5] <= rank:
            continue
        x = np.float32(column) + HALF - middle
        fall = np.exp(-max((bend * x + cross) * x + square, ZERO))
        alpha = min(MOST, opacity * fall)
        if alpha < LEAST:
            continue
        over = ONE / (ONE - alpha)
        before = pixels[column, 3] * over
        r, g, b = pixels[column, 0], pixels[column, 1], pixels[column, 2]
        weight, shown = before * alpha, red * r + green * g + blue * b
        to_red, to_green, to_blue = to_red + weight * r, to_green + weight * g, to_blue + weight * b
        to_alpha = before * shown - over * pixels[column, 4]
        pixels[column, 4] += weight * shown
        pixels[column, 3] = before
        if opacity * fall <= MOST:
            to_opacity += fall * to_alpha
            to_distance = -opacity * fall * to_alpha
            to_one += to_distance
            to_x += to_distance * x
            to_xx += to_distance * x * x
    return to_red, to_green, to_blue, to_opacity, to_x, to_one * y, to_xx, to_x * y, to_one * y * y


@compiled
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
        over = ONE / conic[0]
        for row in range(top, bottom + 1):
            y = np.float32(row) + HALF - centre[1]
            left, right = _columns(centre[0], conic, over, reach, y, light.shape[1])
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
