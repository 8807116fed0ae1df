"""Which images of a capture become inputs, and which are held out to measure on."""

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.errors import Prior3dError

MOST_INPUTS = 10  # that a views prior takes


def spread_frames(directions: Float[Tensor, "views 3"], n: int) -> list[int]:
    """Numbers of n viewing directions [views, 3] far from one another, in rising order: greedily, from the first."""
    chosen = [0]
    nearest = directions @ directions[0]
    while len(chosen) < n:
        nearest[chosen] = torch.inf
        chosen.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, directions @ directions[chosen[-1]])
    return sorted(chosen)


def choose_inputs(
    n_frames: int, directions: Float[Tensor, "views 3"], n_inputs: int, frames: tuple[int, ...], folder: str
) -> list[int]:
    """Numbers of the frames that are inputs.

    Args:
        n_frames: of the capture.
        directions: [n_frames, 3] unit, which way each camera looks.
        n_inputs: so many, spread; 0: all.
        frames: these, whatever `n_inputs` says; none: not said.
        folder: what to call the capture in a message.

    Raises:
        Prior3dError: more inputs than a prior takes, more than there are, or a frame that is not there or twice there.
    """
    wrong = [frame for frame in frames if not 0 <= frame < n_frames]
    if wrong or len(set(frames)) != len(frames):
        raise Prior3dError(
            f"view_preparation.frames: {list(frames)}; name frames 0 to {n_frames - 1} of {folder}, each once"
        )
    wanted = len(frames) or n_inputs or n_frames
    if wanted > MOST_INPUTS:
        raise Prior3dError(
            f"{folder}: {wanted} images, but a views prior takes 1 to {MOST_INPUTS}; choose some of them, e.g. with "
            "--set view_preparation.n_inputs=6 (the others are then held out to measure on)"
        )
    if wanted > n_frames:
        raise Prior3dError(
            f"{folder}: {n_frames} image{'s' * (n_frames != 1)}, but view_preparation.n_inputs is {wanted}; lower it"
        )
    return list(frames) or spread_frames(directions, wanted)


def held_out(n_frames: int, inputs: list[int], most: int) -> list[int]:
    """Numbers of the other frames, evenly along the capture's path and at most `most` of them."""
    others = [frame for frame in range(n_frames) if frame not in inputs]
    return others if len(others) <= most else [others[place * len(others) // most] for place in range(most)]
