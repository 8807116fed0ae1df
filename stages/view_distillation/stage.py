"""The body of view_distillation; the package says what it takes, gives and is set by."""

import torch
from torch import Tensor

from prior3d.diffusion.views import ViewsPrior
from prior3d.diffusion.views_loading import load_views
from prior3d.distillation.sparse_views import denoised
from prior3d.images.colours import clean_mask, difference_mask, estimate_alpha
from prior3d.metrics import psnr_db
from prior3d.optimisation import late_decay, optimise
from prior3d.reconstruction.sparse_fit import SparseFit, Surroundings, sparse_field
from prior3d.reconstruction.view_targets import ViewTargets, premultiplied
from prior3d.seeds import Seeds
from stages.artifacts.fields import save_field
from stages.artifacts.views import InputViews, Symmetry, ViewFeatures
from stages.contract.job import Job
from stages.contract.preview import Preview, check_object, write_row
from stages.evaluation.held_out import save_surroundings
from stages.plain_views import DECAY_FROM, DECAY_TO, fit_settings
from stages.view_distillation import Params

AGAINST_EMPTY = "lower view_distillation.sparsity_weight, or look at view_features' preview"
AGAINST_FULL = "raise view_distillation.mask_weight, or give pictures with masks"


def run(job: Job, params: Params) -> None:
    """Fit the field."""
    prior = load_views(job.prior(), job.device)
    known = ViewFeatures.load(job.inputs["features"], job.device)
    seeds = Seeds(params.seed)
    views = InputViews.load(job.inputs["views"], job.device)
    fit = begin(views.with_mirrored(Symmetry.load(job.inputs["symmetry"])), known, params, seeds)
    assert fit.targets is not None
    ring = Ring(prior, known, fit, params, seeds)
    weight = known.trust * (params.prior_weight if len(views.colours) > 1 else params.single_prior_weight)
    shown = known.cameras[slice(0, None, max(1, known.cameras.views // 8))]

    def ring_pictures() -> tuple[Tensor, Tensor]:
        return fit.pictures(shown, 1.0)

    preview = Preview(job, lambda: ring_pictures()[0])

    def losses(step: int) -> dict[str, Tensor]:
        preview.perhaps(step, params.steps)
        if weight > 0:
            ring.perhaps_denoise(step)
        return fit.losses(step / params.steps, weight)

    finished = optimise(
        losses,
        modules=fit.modules,
        optimiser=fit.optimiser(params.learning_rate),
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=lambda progress: late_decay(progress, DECAY_FROM, DECAY_TO),
    )
    if finished:
        pictures, opacity = ring_pictures()
        check_object(job, opacity, against_empty=AGAINST_EMPTY, against_full=AGAINST_FULL)
        save_field(job.out, fit.field)
        if fit.surroundings is not None:
            save_surroundings(job.out, fit.surroundings.coefficients)
        write_row(job.out / "preview.png", pictures)
        measure(job, fit, len(views.colours), weight)


def begin(views: InputViews, known: ViewFeatures, params: Params, seeds: Seeds) -> SparseFit:
    """The field at its start, the input views, and the ring with the feature transformer's pictures."""
    device, masked = views.colours.device, views.masks is not None
    inputs = ViewTargets(views.cameras, masked)
    inputs.put(torch.arange(len(views.colours)), views.colours, views.masks, views.weights)
    targets = ViewTargets(known.cameras, masked)
    targets.put(torch.arange(known.cameras.views), known.seen.colours, known.seen.masks)
    settings = fit_settings(params)
    field = sparse_field(settings, seeds.generator("field")).to(device)
    return SparseFit(field, inputs, settings, seeds, targets, None if masked else Surroundings().to(device))


class Ring:
    """The prior's views, which are denoised anew now and then."""

    def __init__(self, prior: ViewsPrior, known: ViewFeatures, fit: SparseFit, params: Params, seeds: Seeds) -> None:
        """Take all that is needed."""
        assert fit.targets is not None
        self.prior, self.known, self.fit, self.params, self.seeds = prior, known, fit, params, seeds
        self.targets: ViewTargets = fit.targets

    def perhaps_denoise(self, step: int) -> None:
        """Denoise some views, if it is time to."""
        begin = round(self.params.warm_up * self.params.steps)
        if step >= begin and (step - begin) % self.params.refresh_every == 0:
            self.denoise()

    def denoise(self) -> None:
        """Draw cameras and a noise level; render, noise, denoise; put the pictures in the place of the old ones."""
        known, n = self.known, min(self.params.views_at_once, self.known.cameras.views)
        generator = self.seeds.generator("refresh")
        index = torch.randperm(known.cameras.views, generator=generator)[:n]
        low, high = self.params.noise_levels
        noise_level = low + (high - low) * float(torch.rand(1, generator=generator))
        renders, opacity = self.fit.pictures(known.cameras[index], known.level)
        images, weight = denoised(
            self.prior, renders, known.seen.features[index], noise_level, self.params.denoising_steps, generator
        )
        stays = self.params.keep_regression
        masks = None
        if known.seen.masks is not None:
            found = estimate_alpha(images, clean_mask(difference_mask(images, known.level), opacity), known.level)
            images = premultiplied(images, found, known.level)
            masks = stays * known.seen.masks[index] + (1 - stays) * found
        images = stays * known.seen.colours[index] + (1 - stays) * images
        self.targets.put(index, images, masks, weight)


def measure(job: Job, fit: SparseFit, n_inputs: int, weight: float) -> None:
    """Record how well the field shows its inputs (not their mirror images), and what the prior counted."""
    inputs, first = fit.inputs, slice(0, n_inputs)
    pictures, _ = fit.pictures(inputs.cameras[first], 1.0 if inputs.masked else None)
    wanted = inputs.colours[first]
    if inputs.masked:
        wanted = wanted + (1 - inputs.masks[first][..., None])
    counts = (inputs.weights[first] > 0)[..., None]
    made = torch.where(counts, pictures.movedim(1, -1), wanted)
    job.metric(
        "input_psnr", psnr_db(made.cpu().numpy(), wanted.cpu().numpy()), "dB", n=len(wanted), higher_is_better=True
    )
    job.metric("prior_weight", weight, "of the input views'")
