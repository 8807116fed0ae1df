"""Posed images of one size: `transforms.json` as nerfstudio has it, `images/`, and perhaps `masks/`.

`transforms.json` has a section `prior3d: {mask_meaning, placement}` of our own.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from prior3d.cameras import Cameras, from_nerfstudio, to_nerfstudio
from prior3d.captures.colmap_files import check_model_files
from prior3d.captures.posed import PosedViews
from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from prior3d.inside import named_file
from stages.artifacts.base import RUN_AGAIN, read_json, read_tensors, write_json, write_tensors

POINTS = "points.safetensors"
HELD_OUT = "held_out"  # folder in a PosedImages folder, with images that nothing is made from


def check_capture_folder(path: Path) -> None:
    """Check that a person's capture is a folder; the stage that reads it looks at what is in it."""
    if not path.is_dir():
        raise Prior3dError(f"{path}: a capture is a folder with transforms.json and pictures, this is none.")


def check_photo_folder(path: Path) -> None:
    """Check that photos were given as a folder; the stage that reads it looks at what is in it."""
    if not path.is_dir():
        raise Prior3dError(f"{path}: photos are given as a folder of images, this is none.")


def check_posed_capture(folder: Path) -> None:
    """Check that a capture in COLMAP's layout has its images, and its model all its files."""
    model, images = folder / "sparse" / "0", folder / "images"
    lost = [name for name in ("cameras.bin", "images.bin", "points3D.bin") if not (model / name).is_file()]
    if lost or not images.is_dir():
        raise Prior3dError(f"{folder}: {lost[0] if lost else 'images'} is missing. {RUN_AGAIN}")
    check_model_files(model)


def save_posed_image(folder: Path, name: str, image: Tensor, mask: Tensor | None) -> None:
    """Write one image [3, height, width] and its mask [height, width], in [0, 1], as PNGs."""
    for kind in ("images", *(() if mask is None else ("masks",))):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    write_png(folder / "images" / f"{name}.png", image.movedim(0, -1).cpu().numpy())
    if mask is not None:
        write_png(folder / "masks" / f"{name}.png", mask.cpu().numpy())


def save_posed_cameras(
    folder: Path, names: list[str], cameras: Cameras, mask_meaning: str, about: dict[str, Any] | None = None
) -> None:
    """Write transforms.json for images that are there; `about` is kept beside the meaning of the masks."""
    content = to_nerfstudio(cameras, [f"images/{name}.png" for name in names])
    if mask_meaning != "none":
        for name, frame in zip(names, content["frames"], strict=True):
            frame["mask_path"] = f"masks/{name}.png"
    content["prior3d"] = {"mask_meaning": mask_meaning} | (about or {})
    write_json(folder / "transforms.json", content, indent=1)


def save_points(folder: Path, places: Tensor, colours: Tensor) -> None:
    """Write points of what the images show: places [n, 3] in the world, colours [n, 3] in [0, 1]."""
    write_tensors(folder / POINTS, {"places": places.float().contiguous(), "colours": colours.float().contiguous()})


def load_points(folder: Path) -> tuple[Tensor, Tensor] | None:
    """Read points and their colours, [n, 3] each; None where the capture has none.

    Raises:
        Prior3dError: the file is damaged.
    """
    if not (folder / POINTS).is_file():
        return None
    found = read_tensors(folder / POINTS, "places", "colours")
    places, colours = found["places"], found["colours"]
    if places.shape != colours.shape or places.ndim != 2 or not bool(places.isfinite().all()):
        raise Prior3dError(f"{folder / POINTS}: {tuple(places.shape)} places are damaged. {RUN_AGAIN}")
    return places, colours


def load_posed_images(folder: Path) -> PosedViews:
    """Read the cameras; images are read when asked for. A Prior3dError says what is wrong."""
    path = folder / "transforms.json"
    content = read_json(path)
    cameras = from_nerfstudio(content)
    try:
        frames = content["frames"]
        images = tuple(named_file(folder, frame["file_path"], str(path)) for frame in frames)
        masks = tuple(named_file(folder, frame["mask_path"], str(path)) for frame in frames if "mask_path" in frame)
        meaning = content["prior3d"]["mask_meaning"]
    except (KeyError, TypeError) as error:
        raise Prior3dError(f"{path}: {error} is missing or wrong. {RUN_AGAIN}") from error
    if meaning not in ("object", "ignore", "none") or len(masks) != (0 if meaning == "none" else len(images)):
        raise Prior3dError(f"{path}: {len(masks)} masks of {len(images)} pictures, meaning {meaning!r}. {RUN_AGAIN}")
    return PosedViews(cameras, images, masks, meaning)


def check_posed_images(folder: Path) -> None:
    """Check that the cameras are finite, every image is there, and the first and last can be read."""
    views = load_posed_images(folder)
    if not views.images:
        raise Prior3dError(f"{folder}: there is no picture. {RUN_AGAIN}")
    if not (views.cameras.c2w.isfinite().all() and views.cameras.fov_deg.isfinite().all()):
        raise Prior3dError(f"{folder / 'transforms.json'}: a camera is not finite. {RUN_AGAIN}")
    for file in views.images + views.masks:
        if not file.is_file():
            raise Prior3dError(f"{file}: there is no such file. {RUN_AGAIN}")
    for view in {0, views.views - 1}:
        views.image(view), views.mask(view)
