"""The body of view_distillation: fit a field to the inputs and to a ring of views that the prior refreshes."""

import torch
from torch import Tensor

from prior3d.diffusion.networks import dtype_of
from prior3d.diffusion.views import load_views
from prior3d.distillation.sparse_views import RingRefresher, ring_targets
from prior3d.metrics import psnr_db
from prior3d.reconstruction.sparse_fit import SparseFit, start_fit
from prior3d.reconstruction.symmetry import with_mirror_images
from prior3d.rendering.background import save_background
from prior3d.seeds import Seeds
from stages.artifacts.fields import save_field
from stages.artifacts.input_views import load_input_views
from stages.artifacts.symmetry import load_symmetry
from stages.artifacts.view_features import load_view_features
from stages.contract.job import Job
from stages.contract.object_check import ObjectCheck
from stages.contract.preview import Preview, write_row
from stages.view_distillation import Params

AGAINST_EMPTY = "lower view_distillation.fit.surface.sparsity_weight, or look at view_features' preview"
AGAINST_FULL = "raise view_distillation.fit.mask_weight, or give images with masks"


def run(job: Job, params: Params) -> None:
    """Fit the field."""
    prior = load_views(job.prior(), job.device, dtype_of(params.precision))
    features = load_view_features(job.inputs["features"], job.device)
    predicted = features.predicted
    views = load_input_views(job.inputs["views"], job.device)
    inputs = with_mirror_images(views, load_symmetry(job.inputs["symmetry"]))
    fit = start_fit(inputs, params.fit, Seeds(params.seed), ring_targets(predicted))
    ring = RingRefresher(prior, predicted, fit, params.ring)
    full_weight = params.ring.weight if len(views.colours) > 1 else params.ring.single_input_weight
    weight = features.prior_confidence * full_weight
    shown = predicted.cameras[slice(0, None, max(1, predicted.cameras.views // 8))]

    def ring_images() -> Tensor:
        return fit.images(shown, 1.0)[0]

    preview = Preview(job, ring_images)
    check = ObjectCheck(job, fit.field, params.fit.n_samples, params.check, AGAINST_EMPTY, AGAINST_FULL)

    def losses(step: int) -> dict[str, Tensor]:
        check.before(step, params.steps)
        preview.perhaps(step, params.steps)
        if weight > 0:
            ring.refresh_if_due(step, params.steps)
        return fit.losses(step / params.steps, weight)

    if fit.run(params.steps, job.work / "checkpoint.safetensors", job, losses):
        check.at_end()
        save_field(job.out, fit.field)
        if fit.background is not None:
            save_background(job.out, fit.background)
        write_row(job.out / "preview.png", ring_images())
        measure(job, fit, len(views.colours), weight)


def measure(job: Job, fit: SparseFit, n_inputs: int, weight: float) -> None:
    """Record how well the field shows its inputs (not their mirror images), and how much the prior counted."""
    inputs, first = fit.inputs, slice(0, n_inputs)
    images, _ = fit.images(inputs.cameras[first], 1.0 if inputs.masked else None)
    target = inputs.colours[first]
    if inputs.masked:
        target = target + (1 - inputs.masks[first][..., None])
    counts = (inputs.weights[first] > 0)[..., None]
    found = torch.where(counts, images.movedim(1, -1), target)
    score_db = psnr_db(found.cpu().numpy(), target.cpu().numpy())
    job.metric("input_psnr", score_db, "dB", n=n_inputs, higher_is_better=True)
    job.metric("prior_weight", weight, "of the input views'")
