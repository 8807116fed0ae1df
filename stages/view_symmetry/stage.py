"""The body of view_symmetry: find planes, try each on inputs that are left out, keep those that help."""

import json

import torch
from torch import Tensor

from prior3d.files import write_whole
from prior3d.images.files import contact_sheet, write_png
from prior3d.limits import read_json
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.leave_one_out import leave_one_out, view_score_db
from prior3d.reconstruction.sparse_fit import start_fit
from prior3d.reconstruction.symmetry import MirrorPlane, Symmetry, find_planes, with_mirror_images
from prior3d.seeds import Seeds
from stages.artifacts.input_views import load_input_views
from stages.artifacts.symmetry import save_symmetry
from stages.contract.job import Job
from stages.contract.monitors import SilentMonitor
from stages.view_symmetry import Params

BALL_RADIUS = 1.0  # view_preparation puts the object into it

Fits = dict[int, tuple[float, Tensor]]  # number of an input left out -> PSNR in dB, image [3, size, size]


def run(job: Job, params: Params) -> None:
    """Find planes, try each, keep those that help."""
    views = load_input_views(job.inputs["views"], job.device)
    planes: list[MirrorPlane] = []
    if views.masks is not None and len(views.colours) > 1 and params.max_planes:
        planes = find_planes(views.masks, views.cameras, params.max_planes, params.tolerance, BALL_RADIUS)
    plain = left_out_fits(job, views, params, Symmetry(), "plain")
    tried = [
        left_out_fits(job, views, params, Symmetry((plane,), params.weight), f"plane_{number}")
        for number, plane in enumerate(planes)
    ]
    if job.stopping:
        return
    best = max([plain, *tried], key=mean_db)
    least_db = max(mean_db(plain), mean_db(best) - params.score_tolerance_db)
    kept = tuple(plane for plane, fits in zip(planes, tried, strict=True) if mean_db(fits) >= least_db)
    save_symmetry(job.out, Symmetry(kept, params.weight, {view: score_db for view, (score_db, _) in best.items()}))
    write_preview(job, params, views, [fits for fits in (plain, *tried) if fits])
    record(job, views, planes, kept, [mean_db(fits) for fits in (plain, *tried)], len(plain))


def record(
    job: Job,
    views: InputViews,
    planes: list[MirrorPlane],
    kept: tuple[MirrorPlane, ...],
    scores_db: list[float],
    n_left_out: int,
) -> None:
    """Say what was found, and why it is used or not; scores are without a plane, then with each of them."""
    plain_db, *tried_db = scores_db
    job.metric("planes", len(kept), "mirror planes")
    if n_left_out:
        job.metric("leave_one_out_plain", plain_db, "dB", n=n_left_out, higher_is_better=True)
    if views.masks is None:
        text = "no mirror plane: outlines are needed, and the images have no masks"
    elif len(views.colours) < 2:
        text = "no mirror plane: one image cannot tell"
    elif not planes:
        text = "no mirror plane was looked for"
    else:
        job.metric("coverage", planes[0].coverage, "of the outlines", higher_is_better=True)
        each = [f"{plane.angle_deg:.0f} degrees" for plane in planes]
        if n_left_out:
            job.metric("leave_one_out_mirrored", max(tried_db), "dB", n=n_left_out, higher_is_better=True)
            each = [f"{name} ({score_db:.1f} dB)" for name, score_db in zip(each, tried_db, strict=True)]
        text = f"normals of mirror planes at {', '.join(each)}; {len(kept)} kept"
        text += f" (inputs left out: {plain_db:.1f} dB without)" if n_left_out else " (not tried)"
    job.progress(1, 1, text=text, preview=job.out / "preview.png")


def left_out_fits(job: Job, views: InputViews, params: Params, symmetry: Symmetry, name: str) -> Fits:
    """Of each input left out: score and image of a field fitted to the others; kept in files over a kill."""
    found: Fits = {}
    rounds = leave_one_out(len(views.colours), params.leave_one_out)
    for number, (view, others) in enumerate(rounds):
        kept = job.work / f"{name}_{number}.json"
        if not kept.is_file():
            seeds = Seeds(params.seed + number)
            fitted = left_out_fit(job, views, params, symmetry, f"{name}_{number}", seeds, view, others)
            if fitted is None:
                return {}
            write_whole(kept, json.dumps([fitted[0], fitted[1].tolist()]))
        score_db, image = read_json(kept)
        found[view] = score_db, torch.tensor(image)
        job.progress(number + 1, len(rounds) + 1, text=f"{name}: one input left out")
    return found


def left_out_fit(
    job: Job,
    views: InputViews,
    params: Params,
    symmetry: Symmetry,
    name: str,
    seeds: Seeds,
    view: int,
    others: list[int],
) -> tuple[float, Tensor] | None:
    """Fit to the others and look at the view; None when the job was asked to stop."""
    fit = start_fit(with_mirror_images(views[others], symmetry), params.fit, seeds)
    if not fit.run(params.fit_steps, job.work / f"{name}.safetensors", SilentMonitor(job)):
        return None
    truth = views[[view]].resized(params.score_size)
    colours, opacity = fit.images(truth.cameras)
    masked = truth.masks is not None
    level = 1 - opacity[0] if masked else 0.0
    return view_score_db(colours, opacity if masked else None, truth), (colours[0] + level).clamp(0, 1).cpu()


def mean_db(fits: Fits) -> float:
    """The mean of all scores; 0 of none, so that without any all planes count alike."""
    return sum(score_db for score_db, _ in fits.values()) / len(fits) if fits else 0.0


def write_preview(job: Job, params: Params, views: InputViews, fits: list[Fits]) -> None:
    """Inputs that were left out (all, if none was); below, the fits without mirror images, then with each plane's."""
    shown = list(fits[0]) if fits else list(range(len(views.colours)))
    inputs = views.resized(params.score_size).over(1.0)[shown]
    rows = [list(inputs.movedim(1, -1).cpu().numpy())]
    rows += [[image.movedim(0, -1).numpy() for _, image in fit.values()] for fit in fits]
    write_png(job.out / "preview.png", contact_sheet(rows))
