"""The body of image_preparation; the package says what it takes, gives and is set by."""

import math
from typing import Any

import numpy as np
from PIL import Image

from prior3d.errors import Prior3dError
from prior3d.images.files import contact_sheet, resample, to_uint8, write_png
from prior3d.images.masks import check_mask, read_mask
from prior3d.images.object_image import ObjectImage, Viewpoint, centred_square, check_large_enough, padded_square
from prior3d.images.photographs import InputImage, read_image
from prior3d.images.segmentation import foreground_mask
from stages.artifacts.images import save_object_image
from stages.artifacts.texts import load_camera_text
from stages.contract.job import Job
from stages.image_preparation import Params

TOTAL = 4


def run(job: Job, params: Params) -> None:
    """Read, cut out, frame, write."""
    path = job.inputs["image"]
    job.progress(0, TOTAL, text=f"reading {path.name}")
    photograph = read_image(path)
    mask, mask_from, told = outline(job, params, photograph)
    check_mask(mask, f"{path} ({mask_from})")
    check_large_enough(mask, str(path))
    notes = [*photograph.notes, *told]
    layers = [np.concatenate([photograph.rgb * mask[..., None], mask[..., None]], axis=-1), *further_layers(job, mask)]
    picture, framing = framed(job, params, layers, mask)
    check_large_enough(picture.mask, f"{path}, {picture.size} pixels a side")
    height, width = mask.shape
    facts: dict[str, Any] = {"mask_from": mask_from, "framing": framing, "notes": notes, "given_size": [width, height]}
    save_object_image(job.out, picture, facts)
    for note in notes:
        print(f"{job.name}: {note}", flush=True)  # noqa: T201
    job.metric("coverage", float((picture.mask > 0.5).mean()), "of pixels", n=picture.mask.size)
    grey = np.full((*picture.mask.shape, 3), 0.75, np.float32)
    shown = picture.rgba[..., :3] * picture.mask[..., None] + grey * (1 - picture.mask[..., None])
    write_png(job.out / "preview.png", contact_sheet([[shown, np.repeat(picture.mask[..., None], 3, axis=-1)]]))
    job.progress(TOTAL, TOTAL, text="; ".join([f"outline: {mask_from}", *notes]))


def outline(job: Job, params: Params, photograph: InputImage) -> tuple[np.ndarray, str, list[str]]:
    """Mask [height, width], where it comes from, and what a person should know about that."""
    height, width = photograph.rgb.shape[:2]
    if "mask" in job.inputs:
        return read_mask(job.inputs["mask"], height, width), "the mask file", []
    if photograph.alpha is not None:
        return photograph.alpha, "the picture's alpha", []
    if params.background_removal == "rembg":
        return rembg_mask(photograph.rgb), "rembg", ["no alpha and no mask: the background was removed by rembg"]
    try:
        mask, how = foreground_mask(photograph.rgb)
    except Prior3dError as error:
        raise Prior3dError(
            f"{job.inputs['image']}: it has no alpha and there is no mask, and {error} with --mask, or try "
            "--set image_preparation.background_removal=rembg"
        ) from None
    note = (
        f"no alpha and no mask: the object is {how}. If the outline is wrong give --mask, or set "
        "image_preparation.background_removal=rembg"
    )
    return mask, "the border's colours", [note]


def rembg_mask(rgb: np.ndarray) -> np.ndarray:
    """The mask [height, width] that rembg's network finds (raises Prior3dError if rembg is not installed)."""
    try:
        from rembg import remove  # an extra, which not every installation has
    except ImportError as error:
        raise Prior3dError(
            f"image_preparation.background_removal: rembg cannot be imported ({error}). Install it with "
            "pip install 'prior3d[background]', give --mask, or set background_removal=classical"
        ) from None
    return np.asarray(remove(Image.fromarray(to_uint8(rgb)), only_mask=True).convert("L"), np.float32) / 255


def further_layers(job: Job, mask: np.ndarray) -> list[np.ndarray]:
    """Depth [height, width, 1] and normals [height, width, 3] where they are given, of the picture's own size."""
    layers = []
    for name, channels in (("depth", 1), ("normal", 3)):
        if name not in job.inputs:
            continue
        pixels = read_image(job.inputs[name]).rgb[..., :channels]
        height, width = mask.shape
        if abs(pixels.shape[0] * width - pixels.shape[1] * height) > 0.01 * pixels.shape[0] * width:
            raise Prior3dError(
                f"{job.inputs[name]}: {pixels.shape[1]}x{pixels.shape[0]} pixels, but the picture has {width}x{height}."
                f" Give a {name} picture of the same shape."
            )
        layers.append(pixels if pixels.shape[:2] == mask.shape else resample(pixels, height, width))
    return layers


def framed(job: Job, params: Params, layers: list[np.ndarray], mask: np.ndarray) -> tuple[ObjectImage, str]:
    """The square picture with its camera, and in a word how it was framed; the first layer is premultiplied RGBA."""
    if "camera" in job.inputs:
        viewpoint = seen_from(params, *load_camera_text(job.inputs["camera"]))
        layers, square = padded_square(layers, viewpoint)
        viewpoint = seen_from(params, square.azimuth_deg, square.elevation_deg, square.fov_deg)
        framing = "the picture as the camera sees it, padded to a square"
    else:
        viewpoint = seen_from(params, params.azimuth_deg, params.elevation_deg, params.fov_deg)
        layers, framing = centred_square(layers, mask, params.fill_fraction), "the object in the middle"
    if layers[0].shape[0] > params.size:
        layers = [resample(layer, params.size, params.size) for layer in layers]
    alpha = layers[0][..., 3:].clip(0, 1)
    colours = np.where(alpha > 1 / 512, layers[0][..., :3] / np.maximum(alpha, 1 / 512), 0).clip(0, 1)
    rgba = np.concatenate([colours, alpha], axis=-1).astype(np.float32)
    named = dict(zip([n for n in ("depth", "normal") if n in job.inputs], layers[1:], strict=True))
    depth = named["depth"][..., 0] if "depth" in named else None
    if depth is not None and params.depth_kind == "disparity":
        depth = 1 - depth
    return ObjectImage(rgba, viewpoint, depth, named.get("normal")), framing


def seen_from(params: Params, azimuth_deg: float, elevation_deg: float, fov_deg: float) -> Viewpoint:
    """The camera, at the distance from which the square shows `frame_width`."""
    radius = params.frame_width / 2 / math.tan(math.radians(fov_deg) / 2)
    return Viewpoint(azimuth_deg % 360.0, elevation_deg, fov_deg, radius)
