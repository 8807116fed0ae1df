"""The body of view_symmetry; the package says what it takes, gives and is set by."""

import json

import torch
from torch import Tensor

from prior3d.distillation.sparse_views import leave_one_out
from prior3d.files import write_whole
from prior3d.images.files import contact_sheet, write_png
from prior3d.reconstruction.sparse_fit import plain_fit
from prior3d.reconstruction.symmetry import MirrorPlane, find_planes
from prior3d.seeds import Seeds
from stages.artifacts.views import InputViews, Symmetry
from stages.contract.job import Job
from stages.plain_views import carry_out, fit_settings, score_db
from stages.view_symmetry import Params

BALL_RADIUS = 1.0  # view_preparation puts the object into it
SCORED_PIXELS = 64  # at which inputs left out are compared: finer pictures at what the embedded views prior sees
NEARLY_DB = 0.5  # planes that show inputs left out so much worse than the best one are dropped


def run(job: Job, params: Params) -> None:
    """Find planes, try each, keep those that help."""
    views = InputViews.load(job.inputs["views"], job.device)
    planes: list[MirrorPlane] = []
    if views.masks is not None and len(views.colours) > 1 and params.planes:
        planes = find_planes(views.masks, views.cameras, params.planes, params.tolerance, BALL_RADIUS)
    plain = left_out_fits(job, views, params, Symmetry(), "plain")
    tried = [
        left_out_fits(job, views, params, Symmetry((plane,), params.weight), f"plane_{number}")
        for number, plane in enumerate(planes)
    ]
    if job.stopping:
        return
    better = max([plain, *tried], key=mean_db)
    least = max(mean_db(plain), mean_db(better) - NEARLY_DB)
    kept = tuple(plane for plane, fits in zip(planes, tried, strict=True) if mean_db(fits) >= least)
    Symmetry(kept, params.weight, {view: score for view, (score, _) in better.items()}).save(job.out)
    write_preview(job, views, [fits for fits in (plain, *tried) if fits])
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
        job.metric("left_out_plain", plain_db, "dB", n=n_left_out, higher_is_better=True)
    if views.masks is None:
        text = "no mirror plane: outlines are needed, and the pictures have no masks"
    elif len(views.colours) < 2:
        text = "no mirror plane: of one picture it cannot be told"
    elif not planes:
        text = "no mirror plane was looked for"
    else:
        job.metric("coverage", planes[0].coverage, "of the outlines", higher_is_better=True)
        each = [f"{plane.angle_deg:.0f} degrees" for plane in planes]
        if n_left_out:
            job.metric("left_out_mirrored", max(tried_db), "dB", n=n_left_out, higher_is_better=True)
            each = [f"{name} ({score:.1f} dB)" for name, score in zip(each, tried_db, strict=True)]
        text = f"normals of mirror planes at {', '.join(each)}; {len(kept)} kept"
        text += f" (inputs left out: {plain_db:.1f} dB without)" if n_left_out else " (not tried)"
    job.progress(1, 1, text=text, preview=job.out / "preview.png")


def left_out_fits(
    job: Job, views: InputViews, params: Params, symmetry: Symmetry, name: str
) -> dict[int, tuple[float, Tensor]]:
    """Of each input left out, its number: PSNR in dB and picture [3, size, size] of a field fitted to the others."""
    found: dict[int, tuple[float, Tensor]] = {}
    turns = leave_one_out(len(views.colours), params.left_out)
    for turn, (view, others) in enumerate(turns):
        kept = job.work / f"{name}_{turn}.json"
        if not kept.is_file():
            fitted = left_out_fit(job, views, params, symmetry, f"{name}_{turn}", turn, view, others)
            if fitted is None:
                return {}
            write_whole(kept, json.dumps([fitted[0], fitted[1].tolist()]))
        score_db, picture = json.loads(kept.read_text())
        found[view] = score_db, torch.tensor(picture)
        job.progress(turn + 1, len(turns) + 1, text=f"{name}: one input left out")
    return found


def left_out_fit(
    job: Job,
    views: InputViews,
    params: Params,
    symmetry: Symmetry,
    name: str,
    turn: int,
    view: int,
    others: list[int],
) -> tuple[float, Tensor] | None:
    """Fit to the others and look at the view; None when the job was asked to stop."""
    rest = views[others].with_mirrored(symmetry)
    fit = plain_fit(
        rest.colours,
        rest.masks,
        rest.weights,
        rest.cameras,
        fit_settings(params),
        Seeds(params.seed + turn),
        fit=lambda made: carry_out(job, made, params, params.fit_steps, f"{name}.safetensors"),
    )
    if fit is None:
        return None
    truth = views[[view]].given(SCORED_PIXELS)
    colours, opacity = fit.pictures(truth.cameras)
    masked = truth.masks is not None
    level = 1 - opacity[0] if masked else 0.0
    return score_db(colours, opacity if masked else None, truth), (colours[0] + level).clamp(0, 1).cpu()


def mean_db(fits: dict[int, tuple[float, Tensor]]) -> float:
    """The mean of all scores; 0 of none, so that without any all planes are as good as another."""
    return sum(score for score, _ in fits.values()) / len(fits) if fits else 0.0


def write_preview(job: Job, views: InputViews, fits: list[dict[int, tuple[float, Tensor]]]) -> None:
    """Inputs that were left out (all, if none was); below, the fits without mirror images, then with each plane's."""
    shown = list(fits[0]) if fits else list(range(len(views.colours)))
    inputs = views.given(SCORED_PIXELS).over(1.0)[shown]
    rows = [list(inputs.movedim(1, -1).cpu().numpy())]
    rows += [[picture.movedim(0, -1).numpy() for _, picture in fit.values()] for fit in fits]
    write_png(job.out / "preview.png", contact_sheet(rows))
