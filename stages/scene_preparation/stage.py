"""The body of scene_preparation; the package says what it takes, gives and is set by."""

from collections import Counter
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.captures import Capture, Frame, pinhole_focal, place_cameras, read_capture, target_size, undistort
from prior3d.captures.photographs import frame_image, frame_mask, planes
from prior3d.errors import Prior3dError
from prior3d.images.photographs import read_header
from stages.artifacts.capture import save_points, save_posed_cameras, save_posed_image
from stages.contract.job import Job
from stages.scene_preparation import Params

FILLED = "its alpha is opaque everywhere: the object is taken to fill it"
MOST_FILLED = 0.25  # of the images that an object may fill; more of them were not cut out


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
    placement = place_cameras(capture.c2w, smaller_deg, upright, params.margin)
    meaning = mask_meaning(job, capture, params)
    said: Counter[str] = Counter()
    used = 0.0
    names = [f"{index:05d}" for index in range(len(capture.frames))]
    for index, frame in enumerate(capture.frames):
        image, mask, notes = prepared_image(frame, focal[index], (height, width), meaning, params.min_mask)
        said.update(notes)
        used += 1.0 if mask is None else float(mask.mean())
        save_posed_image(job.out, names[index], image, mask)
        job.progress(index + 1, len(names), text=f"{width}x{height}: {frame.image.name}")
        if job.stopping:
            return
    check_masks(capture, meaning, used, said[FILLED])
    for note in [*capture.notes, *(f"{times} of {len(names)} images: {note}" for note, times in said.items())]:
        print(f"{job.name}: {note}", flush=True)  # noqa: T201
    cameras = Cameras(placement.apply(capture.c2w).float(), fov_deg.float(), height, width)
    about = {"layout": capture.layout, "placement": placement.describe(), "common_look_at": placement.common}
    save_posed_cameras(job.out, names, cameras, meaning, about)
    if capture.points is not None:
        save_points(job.out, placement.apply_to_points(capture.points.places), capture.points.colours)
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


def mask_meaning(job: Job, capture: Capture, params: Params) -> Literal["object", "ignore", "none"]:
    """What the masks mean; 'none' where there are none."""
    files = [frame.mask is not None for frame in capture.frames]
    if params.masks == "none":
        return "none"
    if any(files) != all(files):
        raise Prior3dError(f"{capture.folder}: {sum(files)} of {len(files)} frames have a mask_path; give all or none")
    if not any(files) and not cut_out_by_alpha(job, capture):
        if params.masks != "auto":
            raise Prior3dError(
                f"scene_preparation.masks is {params.masks}, but no image of {capture.folder.name} has a mask_path or "
                "alpha that is not opaque; give masks, or leave it at auto"
            )
        return "none"
    if params.masks != "auto":
        return params.masks
    return "ignore" if any(files) else "object"


def cut_out_by_alpha(job: Job, capture: Capture) -> bool:
    """Whether alpha cuts an object out of all images; alpha that is opaque in every image is none.

    Raises:
        Prior3dError: some images have alpha and others none.
    """
    n = len(capture.frames)
    channels = [read_header(frame.image).alpha_channel for frame in capture.frames]
    cut_out = False
    for index, frame in enumerate(capture.frames):
        if cut_out or job.stopping:
            break
        if channels[index]:
            job.progress(0, n, text=f"looking at the alpha of {frame.image.name}")
            cut_out = frame_image(frame).alpha is not None
    if cut_out and not all(channels):
        bare = [frame.image.name for frame, has in zip(capture.frames, channels, strict=True) if not has]
        raise Prior3dError(
            f"{capture.folder}: {len(bare)} of {n} images have no alpha ({', '.join(bare[:3])}"
            f"{', ...' if bare[3:] else ''}), but others have it; give all of them alpha, or set "
            "scene_preparation.masks=none"
        )
    return cut_out


def prepared_image(
    frame: Frame, focal: float, size: tuple[int, int], meaning: Literal["object", "ignore", "none"], min_mask: float
) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    """One image [3, height, width], not premultiplied, its mask [height, width] if masks mean something, and notes."""
    image = frame_image(frame)
    rgb = planes(image.rgb)
    if meaning == "none":
        return undistort(rgb, frame.intrinsics, focal, *size), None, image.notes
    own = None if frame.mask is not None else image.alpha
    alpha = frame_mask(frame)[None] if own is None else planes(own[..., None])
    weight = alpha if meaning == "object" else torch.ones_like(alpha)  # what is ignored is there all the same
    made = undistort(torch.cat([rgb * weight, alpha]), frame.intrinsics, focal, *size)
    if meaning == "ignore":
        return made[:3], (made[3] > min_mask).float(), image.notes
    notes = image.notes + (() if image.alpha is not None or frame.mask is not None else (FILLED,))
    colours = torch.where(made[3] > 1 / 512, made[:3] / made[3].clamp_min(1 / 512), 0.0).clamp(0, 1)
    return colours, made[3], notes


def check_masks(capture: Capture, meaning: str, used: float, n_filled: int) -> None:
    """Hold that masks leave something to look at, and that alpha cuts something out of most images.

    Raises:
        Prior3dError: they do not.
    """
    n = len(capture.frames)
    if meaning != "none" and used == 0:
        what = "black everywhere" if meaning == "ignore" else "empty everywhere"
        raise Prior3dError(
            f"{capture.folder}: the masks of all {n} images are {what}, so no pixel counts; make them white where the "
            "image is to be used, or set scene_preparation.masks=none"
        )
    if n_filled > MOST_FILLED * n:
        raise Prior3dError(
            f"{capture.folder}: the alpha of {n_filled} of {n} images is opaque everywhere, but others have a "
            "background cut out; cut it out of all of them, or set scene_preparation.masks=none"
        )


def record(job: Job, capture: Capture, scale: float, n_behind: int, zoom: float) -> None:
    """Say what was read and where it was put."""
    n = len(capture.frames)
    job.metric("images", n, "images")
    job.metric("scale", scale, "world units / unit of the capture")
    job.metric("cameras_looking_away", n_behind, "cameras", n=n, higher_is_better=False)
    job.metric("undistortion_zoom", zoom, "of the focal length")
    job.progress(n, n, preview=job.out / "images" / "00000.png", text=f"{n} images, {capture.layout}")
