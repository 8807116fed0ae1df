"""The body of view_distillation: fit a field to the inputs and to a prior's views between them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.networks import dtype_of
from prior3d.diffusion.views import load_views
from prior3d.distillation.sparse_views import RingRefresher, ring_targets
from prior3d.errors import Prior3dError
from prior3d.metrics import psnr_db
from prior3d.reconstruction.sparse_fit import SparseFit, start_fit
from prior3d.reconstruction.symmetry import with_mirror_images
from prior3d.reconstruction.view_targets import ViewTargets
from prior3d.rendering.background import save_background
from prior3d.seeds import Seeds
from stages.artifacts.captions import load_caption
from stages.artifacts.drawn_views import load_drawn_views
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
SHOWN = 8  # views of the preview


@dataclass(frozen=True)
class Ring:
    """The prior's views between the inputs.

    Attributes:
        targets: what the field is fitted to there.
        weight: of them, relative to the input views.
        shown: cameras of the preview.
        refresh: called with the fit, at its start; gives what is called before each step.
    """

    targets: ViewTargets
    weight: float
    shown: Cameras
    refresh: Callable[[SparseFit], Callable[[int], None]]


def run(job: Job, params: Params) -> None:
    """Fit the field."""
    views = load_input_views(job.inputs["views"], job.device)
    inputs = with_mirror_images(views, load_symmetry(job.inputs["symmetry"]))
    ring = drawn_ring(job, params) if "drawn" in job.inputs else refreshed_ring(job, params, len(views.colours))
    fit = start_fit(inputs, params.fit, Seeds(params.seed), ring.targets)
    refresh = ring.refresh(fit)

    def ring_images() -> Tensor:
        return fit.images(ring.shown, 1.0)[0]

    preview = Preview(job, ring_images)
    check = ObjectCheck(job, fit.field, params.fit.n_samples, params.check, AGAINST_EMPTY, AGAINST_FULL)

    def losses(step: int) -> dict[str, Tensor]:
        check.before(step, params.steps)
        preview.perhaps(step, params.steps)
        refresh(step)
        return fit.losses(step / params.steps, ring.weight)

    if fit.run(params.steps, job.work / "checkpoint.safetensors", job, losses):
        check.at_end()
        save_field(job.out, fit.field)
        if fit.background is not None:
            save_background(job.out, fit.background)
        write_row(job.out / "preview.png", ring_images())
        measure(job, fit, len(views.colours), ring.weight)


def refreshed_ring(job: Job, params: Params, n_inputs: int) -> Ring:
    """The feature transformer's views, which the diffusion model refreshes."""
    if "features" not in job.inputs:
        raise Prior3dError(f"stage {job.name}: give it --features, or --drawn and --caption")
    prior = load_views(job.prior(), job.device, dtype_of(params.precision))
    features = load_view_features(job.inputs["features"], job.device)
    predicted = features.predicted
    full_weight = params.ring.weight if n_inputs > 1 else params.ring.single_input_weight
    weight = features.prior_confidence * full_weight

    def refresh(fit: SparseFit) -> Callable[[int], None]:
        ring = RingRefresher(prior, predicted, fit, params.ring)
        return lambda step: ring.refresh_if_due(step, params.steps) if weight > 0 else None

    shown = predicted.cameras[slice(0, None, max(1, predicted.cameras.views // SHOWN))]
    return Ring(ring_targets(predicted), weight, shown, refresh)


def drawn_ring(job: Job, params: Params) -> Ring:
    """Views that a joint-view prior drew given the inputs; they count if it knows what the inputs show."""
    found = load_drawn_views(job.inputs["drawn"], job.device)
    views = found.views[list(range(found.n_given, len(found.views.colours)))]
    known = "caption" in job.inputs and load_caption(job.inputs["caption"]).known
    targets = ViewTargets(views.cameras)
    targets.put(slice(None), views.colours, views.masks, views.weights)
    weight = params.ring.drawn_weight if known else 0.0
    return Ring(targets, weight, views.cameras[slice(0, SHOWN)], lambda fit: lambda step: None)


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
