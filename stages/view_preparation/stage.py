"""The body of view_preparation; the package says what it takes, gives and is set by."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.captures import Capture, CapturePlacement, Frame, read_capture
from prior3d.captures.choice import choose_inputs, held_out
from prior3d.captures.co3d import is_co3d, read_co3d_sequence
from prior3d.captures.framing import border_colour, cut_out, fitted_to_masks, looking_at_origin, object_place
from prior3d.captures.photographs import Photograph, frame_image, frame_mask, planes
from prior3d.captures.placement import SEEN_RADIUS, place_frames
from prior3d.errors import Prior3dError
from prior3d.images.colours import difference_mask
from stages.artifacts.capture import HELD_OUT, save_posed_cameras, save_posed_image
from stages.contract.job import Job
from stages.view_preparation import Params

PRIOR_PIXELS = 64  # cut-outs are as many times this as the pictures are fine


def run(job: Job, params: Params) -> None:
    """Read, choose, place, cut out."""
    capture = read(job.inputs["images"], params)
    for note in capture.notes:
        print(f"{job.name}: {note}", flush=True)  # noqa: T201
    n = len(capture.frames)
    inputs = choose_inputs(n, -capture.c2w[:, :3, 2], params.n_inputs, params.frames, str(capture.folder))
    others = held_out(n, inputs, params.n_held_out)
    colour, photographs = photographs_of([capture.frames[i] for i in inputs], params)
    placement, how = placed(capture, inputs, photographs, params)
    size = params.size or fitting_size(photographs, placement)
    about = {"layout": capture.layout, "placement": placement.describe(), "scaled_by": how}
    save(job.out, list(zip(inputs, photographs, strict=True)), placement, size, about)
    job.progress(len(inputs), len(inputs) + len(others), text=f"inputs cut out at {size} pixels")
    lazily = ((i, photograph_of(capture.frames[i], colour, params)) for i in others)
    kept = save(job.out / HELD_OUT, lazily, placement, size, about)
    record(job, capture, inputs, photographs[0].masked, kept, placement, how)


def record(
    job: Job, capture: Capture, inputs: list[int], masked: bool, kept: list[int], placement: CapturePlacement, how: str
) -> None:
    """Say what was taken, and where it was put."""
    job.metric("inputs", len(inputs), "images")
    job.metric("held_out", len(kept), "images")
    job.metric("scale", placement.scale, "world units / unit of the capture")
    job.metric("masked", float(masked), "yes/no")
    directions = torch.stack([capture.frames[i].c2w[:3, 2] for i in inputs])
    widest = torch.rad2deg(torch.acos((directions @ directions.T).clamp(-1, 1).min()))
    job.metric("widest_angle", float(widest), "degrees", n=len(inputs))
    total = len(inputs) + len(kept)
    text = (
        f"{len(inputs)} inputs, {len(kept)} held out, {capture.layout}, {'masks' if masked else 'no masks'}; "
        f"a unit there is {placement.scale:.4g} here, by the {how}"
    )
    job.progress(total, total, preview=job.out / "images" / "00000.png", text=text)


def read(folder: Path, params: Params) -> Capture:
    """The capture, of any layout."""
    if is_co3d(folder):
        return read_co3d_sequence(folder, params.sequence)
    return read_capture(folder, params.transforms)


def photographs_of(frames: list[Frame], params: Params) -> tuple[Tensor | None, list[Photograph]]:
    """The pictures, masked if all of them can be; and the border's colour, if that is what masks come from."""
    read = [photograph_of(frame, None, params) for frame in frames]
    if params.masks == "none" or all(photograph.masked for photograph in read):
        return None, read
    if any(photograph.masked for photograph in read):
        bare = next(p.frame.image for p in read if not p.masked)
        raise Prior3dError(f"{bare}: it has no mask, but other inputs have; give all of them one, or none")
    shapes = {photograph.pixels.shape for photograph in read}
    colours = [border_colour(photograph.pixels[None]) for photograph in read]
    known = [colour for colour in colours if colour is not None]
    if len(known) < len(read) or (torch.stack(known) - known[0]).abs().max() > 0.1 or not shapes:
        return None, read
    return known[0], [photograph_of(frame, known[0], params) for frame in frames]


def photograph_of(frame: Frame, border: Tensor | None, params: Params) -> Photograph:
    """A picture with the mask that its file, its alpha channel or its border's colour gives."""
    image = frame_image(frame)
    rgb = planes(image.rgb)
    if params.masks == "none":
        return Photograph(frame, rgb)
    if border is not None:
        mask = difference_mask((rgb - border[:, None, None])[None], 0.0)
        behind = (1 - mask) * border[:, None, None]
        return Photograph(frame, torch.cat([(rgb - behind).clamp(min=0).minimum(mask), mask]))
    if frame.mask is None and image.alpha is None:
        return Photograph(frame, rgb)
    mask = planes(image.alpha[..., None]) if frame.mask is None and image.alpha is not None else frame_mask(frame)[None]
    return Photograph(frame, torch.cat([rgb * mask, mask]))


def placed(
    capture: Capture, inputs: list[int], photographs: list[Photograph], params: Params
) -> tuple[CapturePlacement, str]:
    """Where the inputs' cameras, or their masks, say that the object is; no other frame is asked."""
    frames = [capture.frames[i] for i in inputs]
    c2w = torch.stack([frame.c2w for frame in frames])
    placement = place_frames(frames, upright=capture.layout in ("colmap", "co3d"))
    if params.scale_by == "cameras" or not photographs[0].masked:
        if params.scale_by == "masks":
            raise Prior3dError(f"{capture.folder}: view_preparation.scale_by is masks, but the inputs have none")
        return placement, "cameras"
    masks = [photograph.pixels[3] for photograph in photographs]
    middle, radius = object_place(masks, [frame.intrinsics for frame in frames], placement.apply(c2w))
    smallest, largest = params.fitting_radii
    fits = smallest <= radius <= largest and float(middle.norm()) <= params.fitting_offset
    if fits and params.scale_by == "auto":
        return placement, "cameras"
    return fitted_to_masks(placement, middle, radius), "masks"


def fitting_size(photographs: list[Photograph], placement: CapturePlacement) -> int:
    """Side of cut-outs that lose little of the pictures: 64 or 128."""
    shown = []
    for photograph in photographs:
        distance = float((photograph.frame.c2w[:3, 3] - placement.centre).norm()) * placement.scale
        shown.append(2 * photograph.frame.intrinsics.fx * SEEN_RADIUS / max(distance, SEEN_RADIUS))
    return PRIOR_PIXELS * (2 if sorted(shown)[len(shown) // 2] > 1.4 * PRIOR_PIXELS else 1)


def save(
    folder: Path, photographs: Iterable[tuple[int, Photograph]], placement: CapturePlacement, size: int, about: Any
) -> list[int]:
    """Cut out and write numbered photographs; returns the numbers of those that were.

    Held-out pictures of something else than the inputs show measure nothing and are left out; of inputs it is an error.
    """
    kept: dict[int, tuple[str, Cameras]] = {}
    masked = False
    for number, photograph in photographs:
        frame, pose = photograph.frame, placement.apply(photograph.frame.c2w[None])
        try:
            camera = looking_at_origin(pose, size, [str(frame.image)])
        except Prior3dError:
            if folder.name != HELD_OUT:
                raise
            continue
        save_cut_out(folder, f"{len(kept):05d}", photograph, pose[0], camera)
        kept[number], masked = (frame.image.name, camera), photograph.masked
    if kept:
        names, cameras = [f"{place:05d}" for place in range(len(kept))], [camera for _, camera in kept.values()]
        c2w, fov_deg = (torch.cat([getattr(camera, name) for camera in cameras]) for name in ("c2w", "fov_deg"))
        about = about | {"frames": list(kept), "sources": [name for name, _ in kept.values()]}
        meaning: Literal["object", "ignore"] = "object" if masked else "ignore"
        save_posed_cameras(folder, names, Cameras(c2w, fov_deg, size, size), meaning, about)
    return list(kept)


def save_cut_out(folder: Path, name: str, photograph: Photograph, c2w: Tensor, camera: Cameras) -> None:
    """Write one cut-out; its mask is the object's, or says which pixels the photograph shows."""
    picture, shown = cut_out(photograph.pixels, photograph.frame.intrinsics, c2w, camera)
    if not photograph.masked:
        save_posed_image(folder, name, picture, (shown > 0.99).float())
        return
    picture = picture * shown  # premultiplied: of what lies beyond the photograph nothing is taken to be there
    image = torch.where(picture[3] > 1 / 512, picture[:3] / picture[3].clamp_min(1 / 512), 0.0).clamp(0, 1)
    save_posed_image(folder, name, image, picture[3])
