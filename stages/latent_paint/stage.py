"""Score distillation of a latent texture: Latent-NeRF, section 3.4."""

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.backgrounds import LatentBackdrop, LearnedBackground, flat_images
from prior3d.distillation.losses import Distillation
from prior3d.distillation.view_sampler import ViewBatch, ViewSampler, ring_cameras
from prior3d.distillation.vsd import particle_names
from prior3d.images.colours import paper_red_latent
from prior3d.meshes.painted_files import load_uv_mesh
from prior3d.meshes.painting import Surface, Texture
from prior3d.optimisation import adam, decay, optimise
from prior3d.seeds import Seeds
from stages.artifacts.priors import load_prior
from stages.artifacts.textures import save_latent_texture
from stages.contract.job import Job
from stages.contract.preview import Preview, warn_of_unknown_words, write_row
from stages.latent_paint import Params

RED, PAPER_RED = (1.0, 0.0, 0.0), 0.3  # the colour, and how much of its latents the released code starts with
DIVERGED = "lower latent_paint.optimiser.learning_rate or latent_paint.sds.guidance_scale"


def run(job: Job, params: Params) -> None:
    """Distil the prior into a latent texture."""
    prior, seeds = load_prior(job, params.precision, params.engine, prompt=job.prompt), Seeds(params.seed)
    named = params.background == "named"
    views = ViewSampler(prior, job.prompt, params.views, params.prompting, params.sds, named_backgrounds=named)
    warn_of_unknown_words(job, views.unknown_words, params.steps)
    surface = Surface(load_uv_mesh(job.inputs["mesh"]), job.device)
    textures = {name: Texture(start(prior, params, seeds, name)) for name in particle_names(params.sds, "texture")}
    texture, channels = textures["texture"], prior.latent_channels
    learned = None if named else LearnedBackground(channels, seeds.generator("background")).to(job.device)
    backdrop = LatentBackdrop(prior, learned)
    distil = Distillation(views, seeds, params.sds, "latent")
    preview = Preview(job, lambda: decoded_views(surface, texture.values, prior, params, backdrop)[::2])

    def render_latents(cameras: Cameras, batch: ViewBatch) -> Tensor:
        found = surface.texel_weights(cameras, params.resolution, params.supersampling, params.lookup == "nearest")
        behind = (1 - found.coverage)[..., None] * backdrop(cameras, batch.backgrounds)
        return (found.render(list(textures.values())[distil.particle].values) + behind).movedim(-1, 1)

    def losses(step: int) -> dict[str, Tensor]:
        preview.perhaps(step, params.steps)
        return distil(render_latents, step / params.steps).terms

    rate = params.optimiser.learning_rate
    groups = [{"params": list(each.parameters()), "lr": rate} for each in textures.values()]
    groups += [*backdrop.parameter_groups(rate), *distil.parameter_groups()]
    finished = optimise(
        losses,
        modules={**textures, **backdrop.modules, **distil.modules},
        optimiser=adam(groups, params.optimiser),
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=decay(params.optimiser),
        advice=DIVERGED,
    )
    if finished:
        save_latent_texture(job.out, texture.values)
        write_row(job.out / "preview.png", decoded_views(surface, texture.values, prior, params, backdrop))


def start(prior: TextToImagePrior, params: Params, seeds: Seeds, name: str) -> Tensor:
    """A latent texture at the start: one colour and noise of its own, [resolution, resolution, channels]."""
    shape = (params.resolution, params.resolution, prior.latent_channels)
    noise = params.start_noise * torch.randn(shape, generator=seeds.generator(name))
    if params.start == "red" and prior.has_sd_latents:
        return (PAPER_RED * paper_red_latent(prior.latent_channels) + noise).to(prior.device)
    image = flat_images([0.5], prior.image_size, prior.device)
    if params.start == "red":
        image = image.new_tensor(RED).view(1, 3, 1, 1).expand_as(image)
    with torch.no_grad():
        colour = prior.encode(image).mean((0, 2, 3))
    return (PAPER_RED if params.start == "red" else 1.0) * colour + noise.to(prior.device)


@torch.no_grad()
def decoded_views(
    surface: Surface, texture: Tensor, prior: TextToImagePrior, params: Params, backdrop: LatentBackdrop
) -> Tensor:
    """What the decoder makes of eight views from all around, over white: [8, 3, h, w]."""
    cameras = ring_cameras(params.views, 8, prior.latent_size).to(prior.device)
    found = surface.texel_weights(cameras, params.resolution, params.supersampling, params.lookup == "nearest")
    pixels = found.render(texture) + (1 - found.coverage)[..., None] * backdrop.named[0]
    return prior.decode(pixels.movedim(-1, 1))
