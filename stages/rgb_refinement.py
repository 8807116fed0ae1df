"""Latent-NeRF's second stage: the latent field becomes an RGB field with a surface.

The RGB field starts as the latent one through the linear latent-to-RGB map (Metzer et al. 2023, section 3.2). Then, by
`mode`:
- `sds`, the paper's: score distillation again, of RGB renders through the prior's encoder.
- `consistency`: the field is fitted to views and masks that the prior made from it (see remade_views), which turns fog
  into surface.
With a rough shape (Sketch-Shape) the field is held to it here too, at points all over the volume.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from prior3d.errors import Prior3dError
from stages import artifacts, mesh_artifacts
from stages.concept_artifact import Concept, load_prior
from stages.entry import Job, main
from stages.guided_views import (
    PAPER_VIEWS,
    GuidedParams,
    GuidedViews,
    Preview,
    Range,
    Resolution,
    check_object,
    ring_views,
    write_row,
)
from stages.remade_views import RemadeViews

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from prior3d.fields import Field as RadianceField
    from prior3d.priors.text_to_image import TextToImagePrior
    from prior3d.rendering import Rendering
    from prior3d.seeds import Seeds
    from prior3d.shape_guide import ShapeGuide

N_NEIGHBOURS, NEIGHBOUR_DISTANCE = 8192, 0.04  # points a step, and how far their neighbours are in world units
AGAINST_EMPTY = "lower rgb_refinement.noise_levels or rgb_refinement.sparsity_weight, or look at coarse_nerf's preview"
AGAINST_FULL = "raise rgb_refinement.mask_weight or rgb_refinement.entropy_weight, or look at coarse_nerf's preview"


class Params(GuidedParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    mode: Literal["consistency", "sds"] = Field("consistency", description="fit decoded views, or distil RGB renders")
    steps: int = Field(200, ge=1, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    learning_rate: float = Field(0.01, gt=0, le=1, description="of networks; grids take ten times as much")
    adam_epsilon: float = Field(
        1e-6, gt=0, le=1, description="gradients far below it hardly move a value; smaller ones leave colours speckled"
    )
    decay_from: float = Field(
        0.6, ge=0, le=1, description="when learning rates begin to fall", json_schema_extra={"unit": "of steps"}
    )
    decay_to: float = Field(0.05, gt=0, le=1, description="what they fall to by the end, as a fraction; 1 is no decay")
    n_samples: int = Field(48, ge=4, le=2048, description="samples along a ray", json_schema_extra={"unit": "samples"})
    finer_resolutions: tuple[Resolution, ...] = Field(
        (65,), description="dense grids added for detail, nodes along an axis"
    )
    linear_map: Literal["fitted", "paper"] = Field(
        "fitted", description="latent-to-RGB map: fitted to this prior's decoder, or the paper's for Stable Diffusion"
    )
    n_views: int = Field(24, ge=4, le=400, description="consistency: views that the field is fitted to")
    rays_per_step: int = Field(
        2048, ge=64, le=262_144, description="consistency: rays a step", json_schema_extra={"unit": "rays"}
    )
    noise_levels: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.5, 0.35, 0.2),
        min_length=1,
        description="consistency: noise level to which views are re-made, one for each time; 0 only decodes",
        json_schema_extra={"unit": "of T"},
    )
    denoising_steps: int = Field(8, ge=1, le=1000, description="consistency: DDIM steps from the noise level down")
    mask_weight: float = Field(0.5, ge=0, description="consistency: weight of the opacity's difference to the mask")
    image_size: int = Field(
        0, ge=0, le=1024, description="sds: size of renders; 0: the prior's", json_schema_extra={"unit": "pixels"}
    )
    entropy_weight: float = Field(0.02, ge=0, description="weight of the rays' opacity entropy in bits")
    distortion_weight: float = Field(
        2.0, ge=0, description="weight of the distortion, which gathers a ray's weight in one place"
    )
    sparsity_weight: float = Field(0.0, ge=0, description="weight of the mean opacity")
    smoothness_weight: float = Field(1.0, ge=0, description="weight of the field's total variation (surface, colours)")
    regulariser_ramp: Range = Field(
        (0.3, 1.0),
        description="when the three before that begin to rise and are at full weight",
        json_schema_extra={"unit": "of steps"},
    )
    shape_weight: float = Field(
        5.0, ge=0, description="weight of the difference to the rough shape, where one is given (mean over points)"
    )
    proximal_surface: float = Field(
        0.1,
        ge=0,
        le=2,
        description="how far from the shape's surface it begins to bind; 0: everywhere alike",
        json_schema_extra={"unit": "world units"},
    )


PRESETS = {
    "toy": {},
    "paper": PAPER_VIEWS
    | {
        "mode": "sds",
        "steps": 5000,
        "learning_rate": 1e-3,
        "decay_to": 1.0,
        "adam_epsilon": 1e-15,
        "n_samples": 512,
        "finer_resolutions": (),
        "linear_map": "paper",
        "image_size": 128,
        "entropy_weight": 0.002,
        "distortion_weight": 0.0,
        "smoothness_weight": 0.0,
        "regulariser_ramp": (0.0, 0.0),
        "shape_weight": 40.0,  # as in coarse_nerf
        "proximal_surface": 0.3,
    },
}
INPUTS = {
    "field": artifacts.Field,
    "prompt": artifacts.Prompt,
    "prior": artifacts.Prior,
    "shape": mesh_artifacts.ShapeGuide,
    "concept": Concept,
}
OPTIONAL_INPUTS = frozenset({"shape", "concept"})
OUTPUT = artifacts.Field


def run(job: Job, params: Params) -> None:
    """Turn a latent field into an RGB field that is a surface."""
    import torch

    from prior3d.optimisation import late_decay, optimise
    from prior3d.seeds import Seeds

    prior = load_prior(job, prompt=job.prompt)
    views = GuidedViews(prior, job.prompt, params, named_backgrounds=True)
    views.warn(job, params.steps)
    seeds = Seeds(params.seed)
    latent_field = artifacts.Field.load(job.inputs["field"]).to(job.device).requires_grad_(False)
    field = start(latent_field, prior, params)
    modules: dict[str, torch.nn.Module] = {"field": field}
    guide = mesh_artifacts.ShapeGuide.load(job.inputs["shape"], job.device) if "shape" in job.inputs else None
    terms = regularisers(field, seeds, params, guide)
    if params.mode == "sds":
        losses = sds_losses(field, views, seeds, params, terms)
    else:
        remade = RemadeViews(latent_field, field, views, seeds, params, terms)
        modules["targets"] = remade.targets
        losses = remade.losses

    def views_at(size: int) -> "tuple[Tensor, Tensor]":
        pictures, opacity = ring_views(field, params, params.n_samples, size, torch.ones(3, device=job.device))
        return pictures.movedim(-1, 1), opacity

    preview = Preview(job, lambda: views_at(prior.image_size // 2)[0])

    def with_preview(step: int) -> "dict[str, Tensor]":
        preview.perhaps(step, params.steps)
        return losses(step)

    finished = optimise(
        with_preview,
        modules=modules,
        optimiser=torch.optim.Adam(
            field.parameter_groups(params.learning_rate), betas=(0.9, 0.99), eps=params.adam_epsilon
        ),
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=lambda progress: late_decay(progress, params.decay_from, params.decay_to),
    )
    if finished:
        pictures, opacity = views_at(prior.image_size)
        check_object(job, opacity, against_empty=AGAINST_EMPTY, against_full=AGAINST_FULL)
        artifacts.Field.save(job.out, field)
        write_row(job.out / "preview.png", pictures)


def start(latent_field: "RadianceField", prior: "TextToImagePrior", params: Params) -> "RadianceField":
    """The RGB field that looks like the latent field seen through the linear map."""
    import torch

    from prior3d.backgrounds import encoded_backgrounds
    from prior3d.colours import fit_latent_to_rgb, paper_latent_to_rgb, rgb_field

    if params.linear_map == "paper":
        matrix, offset = (part.to(prior.device) for part in paper_latent_to_rgb())
        if prior.latent_channels != len(matrix):
            raise Prior3dError(
                f"rgb_refinement.linear_map: the paper's is for {len(matrix)} latent channels, this prior has "
                f"{prior.latent_channels}; set it to fitted"
            )
    else:
        premultiplied, opacity = ring_views(latent_field, params, params.n_samples, prior.latent_size)
        behind = encoded_backgrounds(prior)[[0, 1, 2, 0, 1, 2, 0, 1]]
        latents = (premultiplied + (1 - opacity)[..., None] * behind).movedim(-1, 1)
        with torch.no_grad():
            matrix, offset = fit_latent_to_rgb(latents, torch.cat([prior.decode(view[None]) for view in latents]))
    return rgb_field(latent_field, matrix, offset, params.finer_resolutions)


def sds_losses(
    field: "RadianceField",
    views: GuidedViews,
    seeds: "Seeds",
    params: Params,
    regularisers: "Callable[[Rendering, float], dict[str, Tensor]]",
) -> "Callable[[int], dict[str, Tensor]]":
    """Score distillation of RGB renders, enlarged to the prior's size and encoded with gradient."""
    import torch
    import torch.nn.functional as functional

    from prior3d.backgrounds import NAMED_BACKGROUNDS
    from prior3d.cameras import orbit_cameras
    from prior3d.distillation import draw_timesteps, sds_loss
    from prior3d.rendering import render

    prior, size = views.prior, params.image_size or views.prior.image_size
    levels = torch.tensor(list(NAMED_BACKGROUNDS.values()))

    def losses(step: int) -> "dict[str, Tensor]":
        progress = step / params.steps
        drawn = views.draw(seeds)
        cameras = orbit_cameras(drawn.orbit, size, size).to(prior.device)
        behind = levels[drawn.backgrounds, None].expand(-1, 3).to(prior.device)
        rendering = render(field, cameras, params.n_samples, seeds.generator("samples"), behind)
        images = rendering.features.movedim(-1, 1)
        if size != prior.image_size:
            images = functional.interpolate(images, (prior.image_size,) * 2, mode="bilinear", align_corners=False)
        latents = prior.encode(images)
        limits = views.timestep_limits(progress)
        timesteps = draw_timesteps(cameras.views, prior.n_timesteps, limits, seeds.generator("timesteps"))
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(prior.device)
        sds = sds_loss(latents, prior, drawn.guidance, timesteps.to(prior.device), noise, params.weighting)
        return {"sds": sds} | regularisers(rendering, progress)

    return losses


def regularisers(
    field: "RadianceField", seeds: "Seeds", params: Params, guide: "ShapeGuide | None" = None
) -> "Callable[[Rendering, float], dict[str, Tensor]]":
    """The terms that make fog a surface, as a function of a rendering and of the fraction of steps done."""
    import torch

    from prior3d.losses import distortion, opacity_entropy_bits, opacity_sparsity, ramp, total_variation
    from prior3d.shape_guide import shape_loss

    def neighbours() -> "tuple[Tensor, Tensor]":
        generator, bound = seeds.generator("neighbours"), field.config.bound
        points = (torch.rand((N_NEIGHBOURS, 3), generator=generator) * 2 - 1) * bound
        offsets = torch.nn.functional.normalize(torch.randn((N_NEIGHBOURS, 3), generator=generator), dim=-1)
        device = next(field.parameters()).device
        return points.to(device), offsets.to(device) * NEIGHBOUR_DISTANCE

    def terms(rendering: "Rendering", progress: float) -> "dict[str, Tensor]":
        strength = ramp(progress, *params.regulariser_ramp)
        points, offsets = neighbours()
        spread = distortion(*(part.flatten(0, -2) for part in (rendering.weights, rendering.starts, rendering.ends)))
        found = {
            "entropy": strength * params.entropy_weight * opacity_entropy_bits(rendering.opacity),
            "distortion": strength * params.distortion_weight * spread,
            "smoothness": params.smoothness_weight * total_variation(field, points, offsets, NEIGHBOUR_DISTANCE),
            "sparsity": strength * params.sparsity_weight * opacity_sparsity(rendering.opacity),
        }
        if guide is not None:
            shape = shape_loss(field.density(points), points, guide, params.proximal_surface)
            found["shape"] = params.shape_weight * shape
        return found

    return terms


if __name__ == "__main__":
    main("stages.rgb_refinement")
