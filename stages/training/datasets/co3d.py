"""Posed scenes of a category of one's own."""

from pathlib import Path

import numpy as np
import torch

from prior3d.cameras import Cameras
from prior3d.captures.co3d_objects import read_co3d
from stages.training.datasets.posed import PosedDataset


def co3d_views(folder: Path, size: int) -> PosedDataset:
    """The sequences of a category in CO3Dv2's layout, cut out at `size` pixels."""
    sequences = read_co3d(folder, size)
    c2w, fov_deg = (torch.cat([getattr(s.cameras, name) for s in sequences]) for name in ("c2w", "fov_deg"))
    scenes = list(torch.arange(len(c2w)).split([s.cameras.views for s in sequences]))
    rgba = np.concatenate([s.rgba for s in sequences])
    return PosedDataset(rgba, Cameras(c2w, fov_deg, size, size), scenes)
