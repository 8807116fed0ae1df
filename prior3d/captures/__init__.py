"""Captured scenes: posed photographs in the usual layouts, made into centred pinhole images in our world."""

from prior3d.captures.capture import Capture, Frame, Intrinsics
from prior3d.captures.placement import CapturePlacement, place_cameras
from prior3d.captures.posed import PosedViews
from prior3d.captures.reading import read_capture
from prior3d.captures.undistortion import pinhole_focal, target_size, undistort

__all__ = [
    "Capture",
    "Frame",
    "Intrinsics",
    "CapturePlacement",
    "PosedViews",
    "pinhole_focal",
    "place_cameras",
    "read_capture",
    "target_size",
    "undistort",
]
