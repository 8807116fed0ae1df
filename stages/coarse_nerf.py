"""Latent-NeRF's first stage: a radiance field of latents, made from a sentence by score distillation.

Metzer et al. 2023, section 3.1: the field renders latents directly, at the size at which the prior denoises, so neither
encoder nor decoder takes part. Each step renders views, noises them, asks the prior which noise it sees, and moves the
field by w(t) (eps_hat - eps). Two terms keep it an object: entropy (rays are empty or solid) and sparsity. With a rough
shape (section 3.3, Sketch-Shape) a third draws its occupancy towards the shape's.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

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

if TYPE_CHECKING:
    from torch import Tensor

    from prior3d.fields import Field as RadianceField
    from prior3d.fields import FieldConfig
    from prior3d.priors.text_to_image import TextToImagePrior

CHECKED_SIZE = 32  # pixels, of the eight views that the result is checked by
AGAINST_EMPTY = "raise coarse_nerf.blob_density, lower coarse_nerf.sparsity_weight, or try another seed"
AGAINST_FULL = "raise coarse_nerf.sparsity_weight or coarse_nerf.entropy_weight, or lower coarse_nerf.density_bias"


class Params(GuidedParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: int = Field(300, ge=1, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    learning_rate: float = Field(0.003, gt=0, le=1, description="of networks; grids take ten times as much")
    n_samples: int = Field(48, ge=4, le=2048, description="samples along a ray", json_schema_extra={"unit": "samples"})
    encoding: Literal["dense", "tiled"] = Field(
        "dense", description="dense grids (fast on a CPU) or the paper's tiled ones"
    )
    grid_resolutions: tuple[Resolution, ...] = Field(
        (17, 33), min_length=1, description="nodes along an axis of each dense grid"
    )
    hidden: int = Field(
        0, ge=0, le=1024, description="width of the network after the grid; 0: the grid holds the values"
    )
    density_bias: float = Field(-2.0, ge=-20, le=20, description="added to the density's logit everywhere")
    blob_density: float = Field(5.0, ge=0, le=50, description="height of the blob the field starts as, on the logit")
    blob_radius: float = Field(
        0.4, gt=0, le=2, description="its standard deviation", json_schema_extra={"unit": "world units"}
    )
    ball_radius: float = Field(
        1.2, gt=0, le=2, description="nothing exists farther out", json_schema_extra={"unit": "world units"}
    )
    background: Literal["named", "learned"] = Field(
        "named", description="flat white, grey or black that the prompt names, or a learned function of the direction"
    )
    entropy_weight: float = Field(0.01, ge=0, description="weight of the rays' opacity entropy in bits")
    sparsity_weight: float = Field(0.1, ge=0, description="weight of the mean opacity")
    regulariser_ramp: Range = Field(
        (0.1, 0.5), description="when both begin to rise and are at full weight", json_schema_extra={"unit": "of steps"}
    )
    shape_weight: float = Field(
        20.0, ge=0, description="weight of the difference to the rough shape, where one is given (mean over samples)"
    )
    proximal_surface: float = Field(
        0.1,
        ge=0,
        le=2,
        description="how far from the shape's surface it begins to bind; 0: everywhere alike",
        json_schema_extra={"unit": "world units"},
    )


# The paper's entropy weight of 5e-4 stood beside a *summed* SDS of 4 x 64 x 64 elements, and was in effect multiplied
# by the mixed-precision loss scale of about 65,536 (later more): 5e-4 * 65,536 / 16,384 = 0.002 beside our mean.
PRESETS = {
    "toy": {},
    "paper": PAPER_VIEWS
    | {
        "steps": 5000,
        "learning_rate": 1e-3,
        "n_samples": 512,
        "encoding": "tiled",
        "hidden": 64,
        "density_bias": 0.0,
        "blob_density": 5.0,
        "blob_radius": 0.2,
        "ball_radius": 1.75,
        "background": "learned",
        "entropy_weight": 0.002,
        "sparsity_weight": 0.0,
        "regulariser_ramp": (0.0, 0.0),
        # 5e-6, summed over the samples, times 65,536 / 16,384 as above, for 64 x 64 rays of 512 samples
        "shape_weight": 40.0,
        "proximal_surface": 0.3,
    },
}
INPUTS = {
    "prompt": artifacts.Prompt,
    "prior": artifacts.Prior,
    "shape": mesh_artifacts.ShapeGuide,
    "concept": Concept,
}
OPTIONAL_INPUTS = frozenset({"shape", "concept"})
OUTPUT = artifacts.Field


def run(job: Job, params: Params) -> None:
    """Distil the prior into a latent field."""
    import torch

    from prior3d.backgrounds import LearnedBackground, encoded_backgrounds
    from prior3d.cameras import orbit_cameras
    from prior3d.distillation import draw_timesteps, sds_loss
    from prior3d.fields import Field as RadianceField
    from prior3d.losses import opacity_entropy_bits, opacity_sparsity, ramp
    from prior3d.optimisation import optimise
    from prior3d.rendering import over, rays, render, sample_points
    from prior3d.seeds import Seeds
    from prior3d.shape_guide import shape_loss

    prior = load_prior(job, prompt=job.prompt)
    views = GuidedViews(prior, job.prompt, params, named_backgrounds=params.background == "named")
    views.warn(job, params.steps)
    seeds = Seeds(params.seed)
    field = RadianceField(field_config(params, prior.latent_channels), seeds.generator("field")).to(job.device)
    modules: dict[str, torch.nn.Module] = {"field": field}
    groups = field.parameter_groups(params.learning_rate)
    if params.background == "learned":
        modules["background"] = LearnedBackground(prior.latent_channels, seeds.generator("background")).to(job.device)
        groups.append({"params": list(modules["background"].parameters()), "lr": params.learning_rate})
    backgrounds = encoded_backgrounds(prior)
    guide = mesh_artifacts.ShapeGuide.load(job.inputs["shape"], job.device) if "shape" in job.inputs else None
    preview = Preview(job, lambda: decoded_views(field, prior, params, backgrounds[0], every=2))

    def losses(step: int) -> "dict[str, Tensor]":
        progress = step / params.steps
        drawn = views.draw(seeds)
        cameras = orbit_cameras(drawn.orbit, prior.latent_size, prior.latent_size).to(job.device)
        rendering = render(field, cameras, params.n_samples, seeds.generator("samples"))
        behind = (
            modules["background"](rays(cameras)[1]) if drawn.backgrounds is None else backgrounds[drawn.backgrounds]
        )
        latents = over(rendering, behind).features.movedim(-1, 1)
        limits = views.timestep_limits(progress)
        timesteps = draw_timesteps(cameras.views, prior.n_timesteps, limits, seeds.generator("timesteps"))
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(job.device)
        regularisers = ramp(progress, *params.regulariser_ramp)
        preview.perhaps(step, params.steps)
        terms = {
            "sds": sds_loss(latents, prior, drawn.guidance, timesteps.to(job.device), noise, params.weighting),
            "entropy": params.entropy_weight * regularisers * opacity_entropy_bits(rendering.opacity),
            "sparsity": params.sparsity_weight * regularisers * opacity_sparsity(rendering.opacity),
        }
        if guide is not None:
            points, density = sample_points(cameras, rendering), rendering.density.flatten()
            terms["shape"] = params.shape_weight * shape_loss(density, points, guide, params.proximal_surface)
        return terms

    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)
    finished = optimise(
        losses,
        modules=modules,
        optimiser=optimiser,
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
    )
    if finished:
        _, opacity = ring_views(field, params, params.n_samples, CHECKED_SIZE)
        check_object(job, opacity, against_empty=AGAINST_EMPTY, against_full=AGAINST_FULL)
        artifacts.Field.save(job.out, field)
        write_row(job.out / "preview.png", decoded_views(field, prior, params, backgrounds[0]))


def field_config(params: Params, channels: int) -> "FieldConfig":
    """The field that the parameters describe."""
    from prior3d.fields import DenseGrids, FieldConfig, TiledGrid

    dense = params.encoding == "dense"
    return FieldConfig(
        encoding=DenseGrids(params.grid_resolutions) if dense else TiledGrid(),
        head="latent",
        channels=channels,
        hidden=params.hidden,
        density_bias=params.density_bias,
        blob_density=params.blob_density,
        blob_radius=params.blob_radius,
        ball_radius=params.ball_radius,
    )


def decoded_views(
    field: "RadianceField", prior: "TextToImagePrior", params: Params, background: "Tensor", every: int = 1
) -> "Tensor":
    """What the prior's decoder makes of views from all round: [8 / every, 3, height, width].

    The background is [h, w, channels] of latents; its mean stands behind the object.
    """
    import torch

    latents, _ = ring_views(field, params, params.n_samples, prior.latent_size, background.mean((0, 1)))
    with torch.no_grad():
        return prior.decode(latents[::every].movedim(-1, 1))


if __name__ == "__main__":
    main("stages.coarse_nerf")
