"""Latent-Paint's texture: latents on a person's mesh, made from a sentence by score distillation.

Metzer et al. 2023, section 3.4: renders of the texture are latents at the size at which the prior denoises. Each step
renders views, noises them, asks the prior which noise it sees, and moves the texture by w(t) (eps_hat - eps).
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages import artifacts, mesh_artifacts
from stages.concept_artifact import Concept, load_prior
from stages.entry import Job, main
from stages.guided_views import PAPER_VIEWS, GuidedParams, GuidedViews, Preview, ring_of, write_row

if TYPE_CHECKING:
    from torch import Tensor

    from prior3d.meshes.painting import Surface
    from prior3d.priors.text_to_image import TextToImagePrior
    from prior3d.seeds import Seeds


class Params(GuidedParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: int = Field(150, ge=1, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    learning_rate: float = Field(0.03, gt=0, le=1, description="of the texture")
    resolution: int = Field(
        64, ge=8, le=1024, description="side of the latent texture", json_schema_extra={"unit": "texels"}
    )
    supersampling: int = Field(4, ge=1, le=16, description="samples along each side of a latent pixel")
    lookup: Literal["bilinear", "nearest"] = Field("bilinear", description="how a sample reads the texture")
    start: Literal["grey", "red"] = Field(
        "grey", description="grey as this prior encodes it, or the paper's red for Stable Diffusion; noise on top"
    )
    start_noise: float = Field(0.1, ge=0, le=10, description="standard deviation of the texture's noise at the start")
    background: Literal["named", "learned"] = Field(
        "named", description="flat white, grey or black that the prompt names, or a learned function of the direction"
    )


PRESETS = {
    "toy": {},
    "paper": PAPER_VIEWS
    | {
        "fov_deg": (60.0, 60.0),
        "steps": 5000,
        "learning_rate": 1e-2,
        "resolution": 128,
        "supersampling": 1,
        "lookup": "nearest",
        "start": "red",
        "start_noise": 0.4,
        "background": "learned",
    },
}
INPUTS = {
    "mesh": mesh_artifacts.UvMesh,
    "prompt": artifacts.Prompt,
    "prior": artifacts.Prior,
    "concept": Concept,
}
OPTIONAL_INPUTS = frozenset({"concept"})
OUTPUT = mesh_artifacts.LatentTexture


def run(job: Job, params: Params) -> None:
    """Distil the prior into a latent texture."""
    import torch

    from prior3d.backgrounds import LearnedBackground, encoded_backgrounds
    from prior3d.cameras import orbit_cameras
    from prior3d.distillation import draw_timesteps, sds_loss
    from prior3d.meshes.painting import Surface, Texture
    from prior3d.optimisation import optimise
    from prior3d.rendering import rays
    from prior3d.seeds import Seeds

    prior = load_prior(job, prompt=job.prompt)
    views = GuidedViews(prior, job.prompt, params, named_backgrounds=params.background == "named")
    views.warn(job, params.steps)
    seeds = Seeds(params.seed)
    surface = Surface(mesh_artifacts.UvMesh.load(job.inputs["mesh"]), job.device)
    texture = Texture(start(prior, params, seeds))
    modules: dict[str, torch.nn.Module] = {"texture": texture}
    if params.background == "learned":
        modules["background"] = LearnedBackground(prior.latent_channels, seeds.generator("background")).to(job.device)
    backgrounds = encoded_backgrounds(prior)
    nearest = params.lookup == "nearest"
    preview = Preview(job, lambda: decoded_views(surface, texture.values, prior, params, backgrounds[0])[::2])

    def losses(step: int) -> "dict[str, Tensor]":
        drawn = views.draw(seeds)
        cameras = orbit_cameras(drawn.orbit, prior.latent_size, prior.latent_size).to(job.device)
        seen = surface.footprints(cameras, params.resolution, params.supersampling, nearest)
        behind = (
            modules["background"](rays(cameras)[1]) if drawn.backgrounds is None else backgrounds[drawn.backgrounds]
        )
        pixels = seen.paint(texture.values) + (1 - seen.coverage)[..., None] * behind
        latents = pixels.movedim(-1, 1)
        limits = views.timestep_limits(step / params.steps)
        timesteps = draw_timesteps(cameras.views, prior.n_timesteps, limits, seeds.generator("timesteps"))
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(job.device)
        preview.perhaps(step, params.steps)
        return {"sds": sds_loss(latents, prior, drawn.guidance, timesteps.to(job.device), noise, params.weighting)}

    parameters = [parameter for module in modules.values() for parameter in module.parameters()]
    finished = optimise(
        losses,
        modules=modules,
        optimiser=torch.optim.Adam(parameters, lr=params.learning_rate, betas=(0.9, 0.99), eps=1e-15),
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
    )
    if finished:
        mesh_artifacts.LatentTexture.save(job.out, texture.values)
        write_row(job.out / "preview.png", decoded_views(surface, texture.values, prior, params, backgrounds[0]))


def start(prior: "TextToImagePrior", params: Params, seeds: "Seeds") -> "Tensor":
    """The latent texture at the start: one colour and noise, [resolution, resolution, channels]."""
    import torch

    from prior3d.backgrounds import flat_images
    from prior3d.colours import paper_red_latent

    shape = (params.resolution, params.resolution, prior.latent_channels)
    noise = params.start_noise * torch.randn(shape, generator=seeds.generator("texture"))
    if params.start == "red":
        return (0.3 * paper_red_latent(prior.latent_channels) + noise).to(prior.device)
    with torch.no_grad():
        grey = prior.encode(flat_images([0.5], prior.image_size, prior.device)).mean((0, 2, 3))
    return grey + noise.to(prior.device)


def decoded_views(
    surface: "Surface", texture: "Tensor", prior: "TextToImagePrior", params: Params, background: "Tensor"
) -> "Tensor":
    """What the decoder makes of eight views from all round [8, 3, h, w], over latents [h, w, channels]."""
    import torch

    cameras = ring_of(params, 8, prior.latent_size).to(prior.device)
    with torch.no_grad():
        seen = surface.footprints(cameras, params.resolution, params.supersampling, params.lookup == "nearest")
        pixels = seen.paint(texture) + (1 - seen.coverage)[..., None] * background
        return prior.decode(pixels.movedim(-1, 1))


if __name__ == "__main__":
    main("stages.latent_paint")
