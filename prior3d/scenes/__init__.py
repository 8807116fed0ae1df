"""Captured scenes: posed photographs in the usual layouts, made into centred pinhole pictures in our world."""

from prior3d.scenes.capture import Capture, Frame, Lens
from prior3d.scenes.placement import Placement, place
from prior3d.scenes.posed import PosedViews
from prior3d.scenes.reading import read_capture
from prior3d.scenes.undistortion import pinhole_focal, target_size, undistorted

__all__ = [
    "Capture",
    "Frame",
    "Lens",
    "Placement",
    "PosedViews",
    "pinhole_focal",
    "place",
    "read_capture",
    "target_size",
    "undistorted",
]
