"""The body of pose_estimation; the package says what it takes, gives and is set by."""

import shutil
from pathlib import Path

import numpy as np

from prior3d.captures.structure import MatchSettings, Model, Structure
from prior3d.captures.structure_plan import chosen_photos, drawn_from_above
from prior3d.errors import Prior3dError
from prior3d.files import write_whole
from prior3d.images.files import write_png
from stages.contract.job import Job, Stopped
from stages.pose_estimation import Params

STEPS = 100  # of progress
SHARES = {"features": (0, 20), "matches": (20, 80), "cameras": (80, 100)}  # of the steps, as measured on 50 photos


def run(job: Job, params: Params) -> None:
    """Features, matches, cameras; what a stopped run has of the first two is kept."""
    photos = chosen_photos(job.inputs["photos"], params.max_images)
    folder = job.work / "photos"
    names = copied(photos, folder)
    sequential = params.matching == "sequential" or (
        params.matching == "auto" and len(photos) > params.exhaustive_images
    )
    settings = MatchSettings(
        longest_side=params.longest_side,
        max_features=params.max_features,
        camera_model=params.camera_model,
        one_camera=params.one_camera,
        overlap=params.sequential_overlap if sequential else 0,
        threads=params.threads,
        seed=params.seed,
    )

    def tell(kind: str, done: int, total: int) -> bool:
        low, high = SHARES[kind]
        step = low + round((high - low) * min(1.0, done / max(total, 1)))
        job.progress(min(step, STEPS - 1), STEPS, text=f"{kind}: {done:,} of {total:,}")
        return not job.stopping

    structure = Structure(folder, job.work / "database.db", settings, tell)
    (job.work / "models").mkdir(exist_ok=True)
    try:
        model = structure.solved(job.work / "models")
    except InterruptedError:
        raise Stopped from None
    check(model, len(photos), params)
    shutil.copytree(folder, job.out / "images")
    model.write(job.out / "sparse" / "0")
    write_png(job.out / "preview.png", drawn_from_above(model.positions, model.directions, model.points, model.colours))
    record(job, model, [names[name] for name in model.lost], len(photos))


def copied(photos: list[Path], folder: Path) -> dict[str, str]:
    """Copy photos into a folder under numbers, since COLMAP's lists bear no blanks; number -> the photo's name."""
    folder.mkdir(exist_ok=True)
    names = {f"{index:05d}{photo.suffix.lower()}": photo for index, photo in enumerate(photos)}
    for name, photo in names.items():
        if not (folder / name).is_file():
            write_whole(folder / name, photo.read_bytes())
    return {name: photo.name for name, photo in names.items()}


def check(model: Model, n: int, params: Params) -> None:
    """Hold that enough photos found their place (raises Prior3dError)."""
    found = len(model.positions)
    if found < max(3, params.min_registered * n):
        raise Prior3dError(
            f"pose_estimation: {found} of {n} photos found their place, fewer than "
            f"pose_estimation.min_registered={params.min_registered:g}; take more photos, each overlapping the last by "
            "two thirds, of things with texture that do not move"
        )


def record(job: Job, model: Model, lost: list[str], n: int) -> None:
    """What was found, and which photos were not."""
    if lost:
        some = ", ".join(lost[:3]) + (", ..." if lost[3:] else "")
        text = f"warning: {len(lost)} of {n} photos found no place and are left out: {some}"
        job.progress(STEPS - 1, STEPS, text=text)
    job.metric("photos", n, "photos")
    job.metric("registered", len(model.positions) / n, "of the photos", n=n, higher_is_better=True)
    job.metric("points", len(model.points), "points")
    job.metric("reprojection_error", model.error_px, "pixels", n=model.n_seen, higher_is_better=False)
    job.metric("focal_length", float(np.median(model.focal)), "of the longer side")
    text = f"{len(model.positions)} of {n} photos have a camera, {len(model.points):,} points"
    job.progress(STEPS, STEPS, preview=job.out / "preview.png", text=text)
