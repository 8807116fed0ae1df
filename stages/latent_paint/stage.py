"""The body of latent_paint; the package says what it takes, gives and is set by."""

import torch
from torch import Tensor

from prior3d.cameras import orbit_cameras
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.sds import draw_timesteps, sds_loss
from prior3d.images.backgrounds import LearnedBackground, encoded_backgrounds, flat_images
from prior3d.images.colours import paper_red_latent
from prior3d.meshes.painted_files import load_uv_mesh
from prior3d.meshes.painting import Surface, Texture
from prior3d.optimisation import optimise
from prior3d.rendering import rays
from prior3d.seeds import Seeds
from stages.artifacts.priors import load_prior
from stages.artifacts.textures import save_latent_texture
from stages.contract.job import Job
from stages.contract.preview import Preview, write_row
from stages.guided_views import GuidedViews, ring_of
from stages.latent_paint import Params


def run(job: Job, params: Params) -> None:
    """Distil the prior into a latent texture."""
    prior = load_prior(job, prompt=job.prompt)
    views = GuidedViews(prior, job.prompt, params, named_backgrounds=params.background == "named")
    views.warn(job, params.steps)
    seeds = Seeds(params.seed)
    surface = Surface(load_uv_mesh(job.inputs["mesh"]), job.device)
    texture = Texture(start(prior, params, seeds))
    modules: dict[str, torch.nn.Module] = {"texture": texture}
    if params.background == "learned":
        modules["background"] = LearnedBackground(prior.latent_channels, seeds.generator("background")).to(job.device)
    backgrounds = encoded_backgrounds(prior)
    nearest = params.lookup == "nearest"
    preview = Preview(job, lambda: decoded_views(surface, texture.values, prior, params, backgrounds[0])[::2])

    def losses(step: int) -> dict[str, Tensor]:
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
        save_latent_texture(job.out, texture.values)
        write_row(job.out / "preview.png", decoded_views(surface, texture.values, prior, params, backgrounds[0]))


def decoded_views(
    surface: Surface, texture: Tensor, prior: TextToImagePrior, params: Params, background: Tensor
) -> Tensor:
    """What the decoder makes of eight views from all round [8, 3, h, w], over latents [h, w, channels]."""
    cameras = ring_of(params, 8, prior.latent_size).to(prior.device)
    with torch.no_grad():
        seen = surface.footprints(cameras, params.resolution, params.supersampling, params.lookup == "nearest")
        pixels = seen.paint(texture) + (1 - seen.coverage)[..., None] * background
        return prior.decode(pixels.movedim(-1, 1))


def start(prior: TextToImagePrior, params: Params, seeds: Seeds) -> Tensor:
    """The latent texture at the start: one colour and noise, [resolution, resolution, channels]."""
    shape = (params.resolution, params.resolution, prior.latent_channels)
    noise = params.start_noise * torch.randn(shape, generator=seeds.generator("texture"))
    if params.start == "red":
        return (0.3 * paper_red_latent(prior.latent_channels) + noise).to(prior.device)
    with torch.no_grad():
        grey = prior.encode(flat_images([0.5], prior.image_size, prior.device)).mean((0, 2, 3))
    return grey + noise.to(prior.device)
