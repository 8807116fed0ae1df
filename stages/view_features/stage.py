"""The body of view_features: predict the ring, measure confidence on inputs that are left out."""

from prior3d.diffusion.networks import dtype_of
from prior3d.diffusion.views import ViewsPrior, load_views
from prior3d.distillation.sparse_views import background_level, camera_ring, joined, not_copies, predict_views
from prior3d.images.files import contact_sheet, write_png
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.leave_one_out import prior_confidence, view_score_db
from prior3d.reconstruction.symmetry import Symmetry
from stages.artifacts.input_views import load_input_views
from stages.artifacts.symmetry import load_symmetry
from stages.artifacts.view_features import ViewFeatures, save_view_features
from stages.contract.job import Job
from stages.view_features import Params

VIEWS_AT_ONCE = 8  # between two looks at whether to stop
LOW_CONFIDENCE = 0.25  # below it the result is nearly a fit without a prior, which is said
UNKNOWN_DB = 16.0  # PSNR of inputs left out below which the prior does not know such things, however bad fits are


def run(job: Job, params: Params) -> None:
    """Predict the ring, measure confidence, keep both."""
    prior = load_views(job.prior(), job.device, dtype_of(params.precision))
    symmetry = load_symmetry(job.inputs["symmetry"])
    inputs = load_input_views(job.inputs["views"], job.device).resized(prior.image_size)
    total, level = params.n_views + len(symmetry.leave_one_out_db), background_level(inputs)
    ring = camera_ring(inputs.cameras, params.n_views, params.elevation_deg, prior.image_size).to(job.device)
    ring = not_copies(inputs.cameras, ring)
    pieces = []
    for first in range(0, ring.views, VIEWS_AT_ONCE):
        pieces.append(predict_views(prior, inputs, ring[slice(first, first + VIEWS_AT_ONCE)], level))
        job.progress(min(first + VIEWS_AT_ONCE, ring.views), total, text="features of the ring")
        if job.stopping:
            return
    predicted = joined(pieces)
    prior_db = left_out_scores(job, prior, inputs, symmetry, params.n_views)
    fit_db = list(symmetry.leave_one_out_db.values())
    confidence = prior_confidence(prior_db, fit_db, params.confidence)
    save_view_features(job.out, ViewFeatures(predicted, confidence))
    images = predicted.over_background().split(8)
    rows = [list(part.movedim(1, -1).cpu().numpy()) for part in (inputs.over(level), *images)]
    write_png(job.out / "preview.png", contact_sheet(rows))
    record(job, total, confidence, prior_db, fit_db)


def record(job: Job, total: int, confidence: float, prior_db: list[float], fit_db: list[float]) -> None:
    """Say how far the prior is trusted, and why."""
    job.metric("prior_confidence", confidence, "", n=len(prior_db), higher_is_better=True)
    text = "confidence in the prior is not measured: no input was left out"
    if prior_db:
        prior_mean_db, fit_mean_db = (sum(values) / len(values) for values in (prior_db, fit_db))
        job.metric("leave_one_out_prior", prior_mean_db, "dB", n=len(prior_db), higher_is_better=True)
        job.metric("leave_one_out_fit", fit_mean_db, "dB", n=len(prior_db), higher_is_better=True)
        text = (
            f"inputs left out: {prior_mean_db:.1f} dB by the prior, {fit_mean_db:.1f} dB by a fit; "
            f"confidence in the prior {confidence:.2f}"
        )
        if confidence < LOW_CONFIDENCE:
            text += ": the prior does not know such things, the inputs alone decide"
        elif prior_mean_db < UNKNOWN_DB:
            text += ": the prior does not seem to know such things, it is only no worse than a fit"
    job.progress(total, total, text=text, preview=job.out / "preview.png")


def left_out_scores(job: Job, prior: ViewsPrior, inputs: InputViews, symmetry: Symmetry, n_views: int) -> list[float]:
    """PSNR in dB of each input that was left out, as the prior shows it given the others."""
    level, found = background_level(inputs), list[float]()
    for view in symmetry.leave_one_out_db:
        truth, others = inputs[[view]], inputs[[other for other in range(len(inputs.colours)) if other != view]]
        predicted = predict_views(prior, others, truth.cameras, level)
        found.append(view_score_db(predicted.colours, predicted.masks if truth.masks is not None else None, truth))
        total = n_views + len(symmetry.leave_one_out_db)
        job.progress(n_views + len(found), total, text="confidence in the prior, one input left out")
    return found
