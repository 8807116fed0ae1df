"""SparseFusion's distillation: one field that shows the input views, and elsewhere what the views prior holds likely.

Every step looks at rays of the input views, which always count fully, and of a ring of cameras between them. At first
the ring shows the feature transformer's own pictures and masks. After a third of the steps some of its views are now
and then rendered, noised to a random level and denoised by the diffusion model in several steps without guidance; these
pictures take the old ones' place, with weight 1 - ᾱ of their noise level (Zhou and Tulsiani 2023, section 3.3). The
paper denoises a render at every step and forgets it; keeping it for the steps to come costs far less, and a step then
sees rays of the whole ring. The gradient passes through the render alone. All of the ring counts as far as the prior
can be trusted, which `view_features` measured.
"""

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from stages.artifacts import Field as FieldArtifact
from stages.artifacts import Prior
from stages.entry import Job, main
from stages.fit_params import FitParams
from stages.guided_views import Preview, Range, check_object, write_row
from stages.held_out import save_surroundings
from stages.plain_views import DECAY_FROM, DECAY_TO
from stages.posed_images import PosedImages
from stages.view_artifacts import InputViews, Symmetry, ViewFeatures

if TYPE_CHECKING:
    from torch import Tensor

    from prior3d.priors.views import ViewsPrior
    from prior3d.seeds import Seeds
    from prior3d.sparse_fit import SparseFit, ViewRays

AGAINST_EMPTY = "lower view_distillation.sparsity_weight, or look at view_features' preview"
AGAINST_FULL = "raise view_distillation.mask_weight, or give pictures with masks"


class Params(FitParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: int = Field(480, ge=1, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    prior_weight: float = Field(
        0.03, ge=0, description="weight of the prior's views where it is trusted fully; input views have 1; 0: none"
    )
    single_prior_weight: float = Field(
        0.5, ge=0, description="the same where there is one input view, which by itself leaves all depths open"
    )
    warm_up: float = Field(
        1 / 3, ge=0, le=1, description="share of the steps at which the feature transformer's pictures are fitted",
        json_schema_extra={"unit": "of steps"},
    )  # fmt: skip
    noise_levels: Range = Field(
        (0.0, 0.5), description="range of the noise to which renders are taken", json_schema_extra={"unit": "of T"}
    )
    denoising_steps: int = Field(8, ge=1, le=1000, description="most DDIM steps from the noise down; 100 u, if fewer")
    refresh_every: int = Field(
        30, ge=1, le=100_000, description="steps between two times that views are denoised anew",
        json_schema_extra={"unit": "steps"},
    )  # fmt: skip
    views_at_once: int = Field(8, ge=1, le=400, description="views of the ring that are then denoised")
    keep_regression: float = Field(
        0.5, ge=0, le=1, description="share of the feature transformer's picture that stays in a denoised one"
    )

    @model_validator(mode="after")
    def _noise_is_noise(self) -> Self:
        """Noise levels lie in [0, 1]."""
        if not 0 <= self.noise_levels[0] <= self.noise_levels[1] <= 1:
            raise ValueError(f"noise_levels {list(self.noise_levels)} are not within 0 and 1")
        return self


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {
        "steps": 3000,
        "learning_rate": 5e-4,
        "resolutions": (17, 33, 65, 129),
        "n_samples": 128,
        "rays_per_step": 16_384,
        "prior_weight": 1.0,
        "single_prior_weight": 1.0,
        "noise_levels": (0.0, 1.0),
        "denoising_steps": 50,
        "refresh_every": 1,
        "views_at_once": 1,
        "keep_regression": 0.0,
    },
}
INPUTS = {"views": PosedImages, "symmetry": Symmetry, "features": ViewFeatures, "prior": Prior}
OUTPUT = FieldArtifact


def run(job: Job, params: Params) -> None:
    """Fit the field."""
    from prior3d.optimisation import late_decay, optimise
    from prior3d.priors.views_loading import load_views
    from prior3d.seeds import Seeds

    prior = load_views(job.prior(), job.device)
    known = ViewFeatures.load(job.inputs["features"], job.device)
    seeds = Seeds(params.seed)
    views = InputViews.load(job.inputs["views"], job.device)
    fit = begin(views.with_mirrored(Symmetry.load(job.inputs["symmetry"])), known, params, seeds)
    assert fit.targets is not None
    ring = Ring(prior, known, fit, params, seeds)
    weight = known.trust * (params.prior_weight if len(views.colours) > 1 else params.single_prior_weight)
    shown = known.cameras[slice(0, None, max(1, known.cameras.views // 8))]

    def ring_pictures() -> "tuple[Tensor, Tensor]":
        return fit.pictures(shown, 1.0)

    preview = Preview(job, lambda: ring_pictures()[0])

    def losses(step: int) -> "dict[str, Tensor]":
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
        FieldArtifact.save(job.out, fit.field)
        if fit.surroundings is not None:
            save_surroundings(job.out, fit.surroundings.coefficients)
        write_row(job.out / "preview.png", pictures)
        measure(job, fit, len(views.colours), weight)


def begin(views: InputViews, known: ViewFeatures, params: Params, seeds: "Seeds") -> "SparseFit":
    """The field at its start, the input views, and the ring with the feature transformer's pictures."""
    import torch

    from prior3d.sparse_fit import SparseFit, Surroundings, ViewRays, sparse_field

    device, masked = views.colours.device, views.masks is not None
    inputs = ViewRays(views.cameras, masked)
    inputs.put(torch.arange(len(views.colours)), views.colours, views.masks, views.weights)
    targets = ViewRays(known.cameras, masked)
    targets.put(torch.arange(known.cameras.views), known.seen.colours, known.seen.masks)
    settings = params.settings()
    field = sparse_field(settings, seeds.generator("field")).to(device)
    return SparseFit(field, inputs, settings, seeds, targets, None if masked else Surroundings().to(device))


class Ring:
    """The prior's views, which are denoised anew now and then."""

    def __init__(
        self, prior: "ViewsPrior", known: ViewFeatures, fit: "SparseFit", params: Params, seeds: "Seeds"
    ) -> None:
        """Take all that is needed."""
        assert fit.targets is not None
        self.prior, self.known, self.fit, self.params, self.seeds = prior, known, fit, params, seeds
        self.targets: ViewRays = fit.targets

    def perhaps_denoise(self, step: int) -> None:
        """Denoise some views, if it is time to."""
        begin = round(self.params.warm_up * self.params.steps)
        if step >= begin and (step - begin) % self.params.refresh_every == 0:
            self.denoise()

    def denoise(self) -> None:
        """Draw cameras and a noise level; render, noise, denoise; put the pictures in the place of the old ones."""
        import torch

        from prior3d.colours import difference_mask, matted, solid
        from prior3d.view_distillation import denoised

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
            found = matted(images, solid(difference_mask(images, known.level), opacity), known.level)
            images = (images - (1 - found[:, None]) * known.level).clamp_min(0).minimum(found[:, None])
            masks = stays * known.seen.masks[index] + (1 - stays) * found
        images = stays * known.seen.colours[index] + (1 - stays) * images
        self.targets.put(index, images, masks, weight)


def measure(job: Job, fit: "SparseFit", n_inputs: int, weight: float) -> None:
    """Record how well the field shows its inputs (not their mirror images), and what the prior counted."""
    import torch

    from prior3d.metrics import psnr_db

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


if __name__ == "__main__":
    main("stages.view_distillation")
