"""The body of view_features; the package says what it takes, gives and is set by."""

import torch

from prior3d.cameras import Cameras, Orbit, orbit_cameras
from prior3d.diffusion.views import ViewsPrior
from prior3d.diffusion.views_loading import load_views
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS
from prior3d.distillation.sparse_views import GivenViews, SeenViews, not_copies, seen_from, trust
from prior3d.images.colours import most_distinct_background
from prior3d.images.files import contact_sheet, write_png
from stages.artifacts.views import InputViews, Symmetry, ViewFeatures
from stages.contract.job import Job
from stages.plain_views import score_db
from stages.view_features import Params

AT_ONCE = 8  # cameras between two looks at whether to stop
DISTRUST = 0.25  # below it the result is all but a plain fit, which is said
BADLY_DB = 16.0  # PSNR of inputs left out below which the prior does not know such things, however bad fits are


def run(job: Job, params: Params) -> None:
    """Ask about the ring, measure trust, keep both."""
    prior = load_views(job.prior(), job.device)
    views = InputViews.load(job.inputs["views"], job.device)
    symmetry = Symmetry.load(job.inputs["symmetry"])
    given, total = views.given(prior.image_size), params.n_views + len(symmetry.left_out_db)
    level = background_level(given)
    ring = not_copies(given.cameras, camera_ring(params, given.cameras, prior.image_size).to(job.device))
    pieces = []
    for first in range(0, ring.views, AT_ONCE):
        pieces.append(seen_from(prior, given, ring[slice(first, first + AT_ONCE)], level))
        job.progress(min(first + AT_ONCE, ring.views), total, text="features of the ring")
        if job.stopping:
            return
    masks = None if given.masks is None else torch.cat([piece.masks for piece in pieces if piece.masks is not None])
    features, colours = (torch.cat([getattr(piece, name) for piece in pieces]) for name in ("features", "colours"))
    seen = SeenViews(features, colours, masks)
    shown, fitted = left_out_scores(job, prior, views, symmetry, params.n_views), list(symmetry.left_out_db.values())
    trusted = trust(shown, fitted)
    ViewFeatures(ring, seen, level, trusted).save(job.out)
    pictures = seen.colours if seen.masks is None else seen.colours + (1 - seen.masks[:, None]) * level
    rows = [list(part.movedim(1, -1).cpu().numpy()) for part in (given.over(level), *pictures.split(8))]
    write_png(job.out / "preview.png", contact_sheet(rows))
    record(job, total, trusted, shown, fitted)


def record(job: Job, total: int, trusted: float, shown: list[float], fitted: list[float]) -> None:
    """Say what trust came out, and why."""
    job.metric("trust", trusted, "", n=len(shown), higher_is_better=True)
    text = "trust is not measured: no input was left out"
    if shown:
        prior_db, fit_db = (sum(values) / len(values) for values in (shown, fitted))
        job.metric("left_out_prior", prior_db, "dB", n=len(shown), higher_is_better=True)
        job.metric("left_out_fit", fit_db, "dB", n=len(shown), higher_is_better=True)
        text = f"inputs left out: {prior_db:.1f} dB by the prior, {fit_db:.1f} dB by a fit; trust {trusted:.2f}"
        if trusted < DISTRUST:
            text += ": the prior does not know such things, the inputs alone decide"
        elif prior_db < BADLY_DB:
            text += ": the prior does not seem to know such things, it is only no worse than a fit"
    job.progress(total, total, text=text, preview=job.out / "preview.png")


def left_out_scores(job: Job, prior: ViewsPrior, views: InputViews, symmetry: Symmetry, n_views: int) -> list[float]:
    """PSNR in dB of each left-out input as the prior shows it from the others."""
    given = views.given(prior.image_size)
    level, found = background_level(given), []
    for view in symmetry.left_out_db:
        truth, others = given[[view]], given[[other for other in range(len(views.colours)) if other != view]]
        seen = seen_from(prior, others, truth.cameras, level)
        found.append(score_db(seen.colours, seen.masks if truth.masks is not None else None, truth))
        job.progress(n_views + len(found), n_views + len(symmetry.left_out_db), text="trust, one input left out")
    return found


def background_level(given: GivenViews) -> float:
    """The named grey that the object stands out from; of whole pictures any."""
    levels = list(NAMED_BACKGROUNDS.values())
    if given.masks is None:
        return levels[0]
    inside = given.masks > 0.5
    return levels[most_distinct_background(given.colours.movedim(1, -1)[inside] / given.masks[inside][:, None], levels)]


def camera_ring(params: Params, given: Cameras, size: int) -> Cameras:
    """Cameras all round, at the inputs' median distance, seeing as much as they do, upright in the world."""
    n = params.n_views
    low, high = params.elevation_deg
    evenly = (torch.arange(n) + 0.5) / n
    azimuth_deg = 360 * (torch.arange(n) * ((5**0.5 - 1) / 2) % 1.0)
    radius, fov_deg = (values.median().cpu().expand(n) for values in (given.positions.norm(dim=-1), given.fov_deg))
    return orbit_cameras(Orbit(azimuth_deg, low + (high - low) * evenly, radius, fov_deg), size, size)
