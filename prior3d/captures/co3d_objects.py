"""Objects of a category in CO3Dv2's layout as square cut-outs, placed and framed as `view_preparation` does it.

A views prior that is trained on these sees at inference what it saw in training: the same mask level, lookups a pixel,
field of view and size of the object.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from prior3d.cameras import Cameras
from prior3d.captures.capture import Capture
from prior3d.captures.co3d import read_co3d_sequences
from prior3d.captures.framing import MASK_LEVEL, cut_out, fitted_to_masks, looking_at_origin, object_place
from prior3d.captures.photographs import Photograph, masked_photograph
from prior3d.captures.placement import place_frames
from prior3d.errors import Prior3dError


@dataclass(frozen=True)
class ObjectSequence:
    """One object: `rgba` [n, size, size, 4] uint8 premultiplied, and its n cameras."""

    name: str
    rgba: UInt8[np.ndarray, "views size size 4"]
    cameras: Cameras


def read_co3d(folder: Path, size: int) -> list[ObjectSequence]:
    """Read every sequence that has at least two usable frames.

    Frames whose mask is empty, and those whose camera stands in the object or looks away from it, are left out.

    Args:
        folder: of one category.
        size: side of the cut-outs, in pixels.

    Raises:
        Prior3dError: annotations or images are missing or unreadable, or no sequence is usable.
    """
    captures = read_co3d_sequences(folder)
    found = [_object_sequence(name, capture, size) for name, capture in captures.items()]
    sequences = [sequence for sequence in found if sequence is not None]
    if not sequences:
        raise Prior3dError(
            f"{folder}: none of its {len(captures)} sequences has two frames with a foreground mask; add frames or "
            "masks"
        )
    return sequences


def _object_sequence(name: str, capture: Capture, size: int) -> ObjectSequence | None:
    """The cut-outs of one sequence, or None where fewer than two frames are usable."""
    read = [masked_photograph(frame) for frame in capture.frames]
    photographs = [photograph for photograph in read if (photograph.pixels[3] > MASK_LEVEL).any()]
    if len(photographs) < 2:
        return None
    frames = [photograph.frame for photograph in photographs]
    placement = place_frames(frames, upright=True)
    poses = placement.apply(torch.stack([frame.c2w for frame in frames]))
    masks = [photograph.pixels[3] for photograph in photographs]
    placement = fitted_to_masks(placement, *object_place(masks, [frame.intrinsics for frame in frames], poses))
    poses = placement.apply(torch.stack([frame.c2w for frame in frames]))
    cut = [_cut_out(photograph, pose, size) for photograph, pose in zip(photographs, poses, strict=True)]
    kept = [view for view in cut if view is not None]
    if len(kept) < 2:
        return None
    c2w, fov_deg = (torch.cat([getattr(camera, part) for _, camera in kept]) for part in ("c2w", "fov_deg"))
    return ObjectSequence(name, np.stack([rgba for rgba, _ in kept]), Cameras(c2w, fov_deg, size, size))


def _cut_out(photograph: Photograph, pose: torch.Tensor, size: int) -> tuple[np.ndarray, Cameras] | None:
    """[size, size, 4] uint8 of one photograph with its camera, or None where that does not look at the object."""
    try:
        camera = looking_at_origin(pose[None], size, [str(photograph.frame.image)])
    except Prior3dError:
        return None
    image, shown = cut_out(photograph.pixels, photograph.frame.intrinsics, pose, camera)
    rgba = (image * shown).mul(255).round().clamp(0, 255).byte().movedim(0, -1)  # beyond the photograph: nothing
    return rgba.numpy(), camera
