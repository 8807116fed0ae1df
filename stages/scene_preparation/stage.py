"""The body of scene_preparation; the package says what it takes, gives and is set by."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.captures import Capture, Frame, pinhole_focal, place_cameras, read_capture, target_size, undistort
from prior3d.captures.capture import REPLACE
from prior3d.captures.photographs import decoded
from prior3d.errors import Prior3dError
from prior3d.images.opening import opened_image
from stages.artifacts.capture import save_posed_cameras, save_posed_image
from stages.contract.job import Job
from stages.scene_preparation import Params


def run(job: Job, params: Params) -> None:
    """Read the cameras, place them, and resize and undistort the images one by one."""
    capture = chosen(read_capture(job.inputs["scene"], params.transforms), params)
    height, width = target_size(capture.frames[0].intrinsics, params.longest_side)
    check_shapes(capture, height, width)
    found: dict[object, float] = {}
    focal = []
    for frame in capture.frames:  # most captures have one lens
        if frame.intrinsics not in found:
            found[frame.intrinsics] = pinhole_focal(frame.intrinsics, height, width, str(frame.image))
        focal.append(found[frame.intrinsics])
    focals = torch.tensor(focal, dtype=torch.float64)
    fov_deg = torch.rad2deg(2 * torch.atan(0.5 * height / focals))
    smaller_deg = torch.rad2deg(2 * torch.atan(0.5 * min(height, width) / focals))
    upright = params.orientation == "cameras" or (params.orientation == "auto" and capture.layout == "colmap")
    placement = place_cameras(capture.c2w, smaller_deg, upright)
    meaning = mask_meaning(capture, params)
    names = [f"{index:05d}" for index in range(len(capture.frames))]
    for index, frame in enumerate(capture.frames):
        image, mask = prepared_image(frame, focal[index], (height, width), meaning, params.min_mask)
        save_posed_image(job.out, names[index], image, mask)
        job.progress(index + 1, len(names), text=f"{width}x{height}: {frame.image.name}")
        if job.stopping:
            return
    cameras = Cameras(placement.apply(capture.c2w).float(), fov_deg.float(), height, width)
    about = {"layout": capture.layout, "placement": placement.describe(), "common_look_at": placement.common}
    save_posed_cameras(job.out, names, cameras, meaning, about)
    first = capture.frames[0].intrinsics
    record(job, capture, placement.scale, placement.n_behind, focal[0] / (first.fx * width / first.width))


def chosen(capture: Capture, params: Params) -> Capture:
    """The capture with at most `max_images` frames, evenly along its path."""
    n, most = len(capture.frames), params.max_images
    if n < params.min_images:
        raise Prior3dError(
            f"{capture.folder}: {n} image{'s' * (n != 1)}; a scene needs {params.min_images} or more, from around it"
        )
    if not most or n <= most:
        return capture
    return replace(capture, frames=tuple(capture.frames[i * n // most] for i in range(most)))


def check_shapes(capture: Capture, height: int, width: int) -> None:
    """Check that all images have one shape; they may differ in size."""
    for frame in capture.frames:
        intrinsics = frame.intrinsics
        if abs(intrinsics.width * height / width - intrinsics.height) > 1.5 * max(1.0, intrinsics.height / height):
            first = capture.frames[0]
            raise Prior3dError(
                f"{frame.image}: {intrinsics.width}x{intrinsics.height} pixels, but {first.image.name} has "
                f"{first.intrinsics.width}x{first.intrinsics.height}: images of different shapes; crop them to one "
                "shape, with their cx and cy"
            )


def mask_meaning(capture: Capture, params: Params) -> Literal["object", "ignore", "none"]:
    """What the masks mean; 'none' where there are none."""
    name = capture.frames[0].image
    with opened_image(name, str(name), REPLACE) as first:
        alpha = "A" in first.getbands()
    files = [frame.mask is not None for frame in capture.frames]
    if any(files) != all(files) and params.masks != "none":
        raise Prior3dError(f"{capture.folder}: {sum(files)} of {len(files)} frames have a mask_path; give all or none")
    if params.masks == "none" or not (alpha or any(files)):
        return "none"
    if params.masks != "auto":
        return params.masks
    return "ignore" if any(files) else "object"


def prepared_image(
    frame: Frame, focal: float, size: tuple[int, int], meaning: Literal["object", "ignore", "none"], min_mask: float
) -> tuple[Tensor, Tensor | None]:
    """One image [3, height, width], not premultiplied, and its mask [height, width] if masks mean something."""
    rgb, alpha = read_rgba(frame)
    if meaning == "none":
        return undistort(rgb, frame.intrinsics, focal, *size), None
    weight = alpha if meaning == "object" else torch.ones_like(alpha)  # what is ignored is there all the same
    made = undistort(torch.cat([rgb * weight, alpha]), frame.intrinsics, focal, *size)
    if meaning == "ignore":
        return made[:3], (made[3] > min_mask).float()
    return torch.where(made[3] > 1 / 512, made[:3] / made[3].clamp_min(1 / 512), 0.0).clamp(0, 1), made[3]


def read_rgba(frame: Frame) -> tuple[Tensor, Tensor]:
    """[3, height, width] and [1, height, width] in [0, 1]: the mask's file, else the alpha channel, else ones."""
    rgba = decoded(frame.image, "RGBA").movedim(-1, 0)
    return rgba[:3], rgba[3:] if frame.mask is None else decoded(frame.mask, "L")[None]


def record(job: Job, capture: Capture, scale: float, n_behind: int, zoom: float) -> None:
    """Say what was read and where it was put."""
    n = len(capture.frames)
    job.metric("images", n, "images")
    job.metric("scale", scale, "world units / unit of the capture")
    job.metric("cameras_looking_away", n_behind, "cameras", n=n, higher_is_better=False)
    job.metric("undistortion_zoom", zoom, "of the focal length")
    job.progress(n, n, preview=job.out / "images" / "00000.png", text=f"{n} images, {capture.layout}")
