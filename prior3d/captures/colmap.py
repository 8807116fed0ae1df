"""Read COLMAP's sparse model by pycolmap, which is an optional extra."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from prior3d.cameras import opencv_to_opengl
from prior3d.capture_files import IMAGE_ENDINGS, colmap_places, portable
from prior3d.captures.capture import (
    Capture,
    CapturePoints,
    Frame,
    Intrinsics,
    checked_intrinsics,
    checked_pose,
    fitted_to_image,
    image_header,
    natural_order,
    size_and_turn,
)
from prior3d.captures.colmap_files import check_model_files
from prior3d.errors import Prior3dError
from prior3d.inside import named_file

LEAST_TRACK = 3  # photos that agree on a point; two alone are often wrong
DISTORTION = {  # COLMAP's model: how many focal lengths, and what its further parameters are after the principal point
    "SIMPLE_PINHOLE": (1, ()),
    "PINHOLE": (2, ()),
    "SIMPLE_RADIAL": (1, ("k1",)),
    "RADIAL": (1, ("k1", "k2")),
    "OPENCV": (2, ("k1", "k2", "p1", "p2")),
}


def colmap_model(folder: Path) -> Path | None:
    """The folder of a sparse model inside a capture, if there is one; of several the one of most images."""
    models = colmap_models(folder)
    return max(models, key=lambda model: models[model]) if models else None


def colmap_models(folder: Path) -> dict[Path, int]:
    """The models of a capture, and how many images each knows the camera of; COLMAP splits what it cannot join."""
    found = sorted(colmap_places(folder), key=lambda path: natural_order(path.name))
    return {model: _n_images(model) for model in found}


def _n_images(model: Path) -> int:
    """How many images a model has: its header says it, or its lines, two an image; 0 where it is damaged."""
    try:
        with (model / "images.bin").open("rb") as stream:
            return int.from_bytes(stream.read(8), "little")
    except OSError:
        pass  # a model in COLMAP's text format
    try:
        with (model / "images.txt").open(encoding="utf-8", errors="replace") as stream:
            lines = [line for line in stream if not line.startswith("#")]
    except OSError:
        return 0
    return sum(bool(line.strip()) for line in lines[::2])


def pycolmap_for(what: str, instead: str = "") -> Any:
    """The module pycolmap (raises Prior3dError where it is not installed: `what` is done by it)."""
    try:
        import pycolmap  # an extra: other layouts are read without it
    except ImportError:
        raise Prior3dError(
            f"{what} by pycolmap, which is not installed; install prior3d[colmap] (in a checkout: "
            f'pip install -e ".[colmap]"){instead}'
        ) from None
    return pycolmap


def read_colmap(folder: Path, model: Path) -> Capture:
    """Read a capture whose images lie in `folder/images`.

    Raises:
        Prior3dError: pycolmap is not installed, the model cannot be read, or an image is missing.
    """
    pycolmap = pycolmap_for(
        f"{model}: a COLMAP model is read", ", or convert the capture with `ns-process-data` to transforms.json"
    )
    check_model_files(model)
    try:
        reconstruction = pycolmap.Reconstruction(str(model))
    except (OSError, RuntimeError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:160]
        raise Prior3dError(f"{model}: not a whole COLMAP model ({reason}); run COLMAP again") from None
    images = list(reconstruction.images.values())
    if not images:
        raise Prior3dError(f"{model}: no image of it has a camera; run COLMAP again with more overlap")
    lost = [image.name for image in images if image.camera_id not in reconstruction.cameras]
    if lost:
        raise Prior3dError(f"{model}: image {lost[0]} names a camera that is not there; run COLMAP again")
    frames = [_frame(folder, model, image, reconstruction.cameras[image.camera_id]) for image in images]
    ordered = tuple(sorted(frames, key=lambda f: natural_order(f.image.as_posix())))
    return Capture(folder, "colmap", ordered, _notes(folder, model, len(frames)), _points(reconstruction))


def _points(reconstruction: Any) -> CapturePoints | None:
    """The points that enough photos agree on, in the order of their numbers; None where there are none."""
    found = [point for _, point in sorted(reconstruction.points3D.items()) if point.track.length() >= LEAST_TRACK]
    places = np.array([point.xyz for point in found], dtype=np.float64).reshape(-1, 3)
    colours = np.array([point.color for point in found], dtype=np.float64).reshape(-1, 3) / 255
    whole = np.isfinite(places).all(1)
    if not whole.any():
        return None
    return CapturePoints(torch.from_numpy(places[whole]), torch.from_numpy(colours[whole]).float())


def _notes(folder: Path, model: Path, n_used: int) -> tuple[str, ...]:
    """What a person may not expect: further models, and images without a camera."""
    name = model.relative_to(folder).as_posix()
    others = {o.relative_to(folder).as_posix(): n for o, n in colmap_models(folder).items() if o != model}
    told = ", ".join(f"{other} has {n}" for other, n in others.items())
    notes = [f"{name} with {n_used} images is used, the largest of {len(others) + 1} models; {told}"]
    n_there = sum(path.suffix.lower() in IMAGE_ENDINGS for path in (folder / "images").rglob("*"))
    without = [f"{n_there - n_used} of {n_there} images have no camera in {name}: left out"]
    return tuple((notes if others else []) + (without if n_there > n_used else []))


def _frame(folder: Path, model: Path, image: Any, camera: Any) -> Frame:
    where = f"{model}, image {image.name}"
    folder = folder / "images"
    path = named_file(folder, portable(folder, image.name), str(model))
    size, upright = size_and_turn(image_header(path, str(model)), (camera.width, camera.height), stored=True)
    pose = image.cam_from_world() if callable(image.cam_from_world) else image.cam_from_world  # 3.12 made it a method
    if pose is None:
        raise Prior3dError(f"{where}: it has no pose; run COLMAP again, or take the image out of the model")
    w2c = torch.eye(4, dtype=torch.float64)
    w2c[:3] = torch.as_tensor(pose.matrix(), dtype=torch.float64)
    checked_pose(w2c, where)
    c2w = opencv_to_opengl(torch.linalg.inv(w2c)[None])[0]
    intrinsics = intrinsics_of(
        camera.model.name, [float(p) for p in camera.params], (camera.width, camera.height), where
    )
    return Frame(path, checked_pose(c2w, where), fitted_to_image(intrinsics, size, where), upright=upright)


def intrinsics_of(model: str, params: list[float], size: tuple[int, int], where: str) -> Intrinsics:
    """Intrinsics from COLMAP's parameters.

    Raises:
        Prior3dError: the model is not one of `DISTORTION`.
    """
    if model not in DISTORTION:
        raise Prior3dError(
            f"{where}: COLMAP's camera model {model} is not known; use {', '.join(DISTORTION)}, "
            "or run COLMAP's image_undistorter first"
        )
    n_focal, names = DISTORTION[model]
    if len(params) != n_focal + 2 + len(names):
        raise Prior3dError(f"{where}: {len(params)} parameters for a camera {model}; run COLMAP again")
    focal, point = params[:n_focal], params[n_focal : n_focal + 2]
    further = dict(zip(names, params[n_focal + 2 :], strict=True))
    radial = (further.get("k1", 0.0), further.get("k2", 0.0), 0.0)
    tangential = (further.get("p1", 0.0), further.get("p2", 0.0))
    found = Intrinsics(size[0], size[1], focal[0], focal[-1], point[0], point[1], radial, tangential)
    return checked_intrinsics(found, where)
