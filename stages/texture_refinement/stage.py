"""The body of texture_refinement; the package says what it takes, gives and is set by."""

from collections.abc import Callable

import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.cameras import orbit_cameras
from prior3d.diffusion.loading import load_text_to_image
from prior3d.distillation.sds import draw_timesteps, sds_loss
from prior3d.errors import Prior3dError
from prior3d.images.backgrounds import NAMED_BACKGROUNDS, encoded_backgrounds
from prior3d.images.colours import fit_latent_to_rgb
from prior3d.meshes.painted_files import save_painted
from prior3d.meshes.painting import Surface, Texture, finished_texture, texel_evidence
from prior3d.optimisation import late_decay, optimise
from prior3d.seeds import Seeds
from stages.anchored_texture import load_anchors
from stages.artifacts.meshes import load_base_texture, load_paintable_mesh
from stages.artifacts.priors import object_prompt
from stages.artifacts.textures import load_latent_texture
from stages.contract.job import Job
from stages.contract.preview import Preview, write_row
from stages.guided_views import GuidedViews, ring_of, spiral
from stages.repainted_views import RepaintedViews
from stages.shown_picture import showing_picture
from stages.texture_refinement import Params


def run(job: Job, params: Params) -> None:
    """Turn the latent texture into colours."""
    prior = load_text_to_image(job.prior(), job.device)
    views = GuidedViews(prior, object_prompt(job, prior), params, named_backgrounds=True)
    views.warn(job, params.steps)
    seeds = Seeds(params.seed)
    mesh = load_paintable_mesh(job.inputs["mesh"])
    surface = Surface(mesh, job.device)
    if ("texture" in job.inputs) == ("paint" in job.inputs):
        raise Prior3dError(f"{job.name}: give either --texture, of latents, or --paint, of colours")
    latents = anchors = None
    if "texture" in job.inputs:
        latents = latent_texture(job, prior.latent_channels)
        texture = Texture(start(latents, surface, views, params))
    else:
        anchors = load_anchors(job, surface, params)
        texture = Texture(anchors.colours)
    modules: dict[str, torch.nn.Module] = {"texture": texture}
    if params.mode == "sds":
        losses, known = sds_losses(surface, texture.values, views, seeds, params), lambda: seen_texels(surface, params)
    else:
        repainted = RepaintedViews(surface, latents, texture.values, views, seeds, params)
        modules["targets"] = repainted.targets
        losses, known = repainted.losses, repainted.seen_texels

    def pictures() -> Tensor:
        cameras = ring_of(params, 8, prior.image_size).to(job.device)
        seen = surface.footprints(cameras, params.resolution, params.supersampling)
        with torch.no_grad():
            return (seen.paint(texture.values.clamp(0, 1)) + 1 - seen.coverage[..., None]).movedim(-1, 1)

    preview = Preview(job, lambda: pictures()[::2])

    def with_preview(step: int) -> dict[str, Tensor]:
        preview.perhaps(step, params.steps)
        return losses(step) | ({} if anchors is None else anchors.losses(texture.values, params))

    finished = optimise(
        with_preview,
        modules=modules,
        optimiser=torch.optim.Adam(
            texture.parameters(), lr=params.learning_rate, betas=(0.9, 0.99), eps=params.adam_epsilon
        ),
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=lambda progress: late_decay(progress, params.decay_from, params.decay_to),
    )
    if finished:
        seen = known()
        if anchors is not None:  # what no view shows was filled before
            seen = torch.ones_like(seen)
        painted, seen_share = finished_texture(mesh, texture.values.detach(), seen)
        if anchors is not None and "image" in job.inputs:
            own = load_base_texture(job.inputs["mesh"], params.resolution)
            shown = showing_picture(job, surface, torch.from_numpy(painted), params.picture_steps, own)
            painted = shown.cpu().numpy()
            with torch.no_grad():
                texture.values.copy_(torch.from_numpy(painted))
        save_painted(job.out, mesh, painted)
        job.metric("surface_seen", seen_share, "of texels", n=params.resolution**2, higher_is_better=True)
        job.metric("glb_size", (job.out / "mesh.glb").stat().st_size / 1e6, "MB", higher_is_better=False)
        write_row(job.out / "preview.png", pictures())


def latent_texture(job: Job, channels: int) -> Tensor:
    """The input texture, whose latents must be those of the prior (raises Prior3dError if they are not)."""
    latents = load_latent_texture(job.inputs["texture"], job.device)
    if latents.shape[-1] != channels:
        raise Prior3dError(
            f"{job.name}: the latent texture has {latents.shape[-1]} channels, this prior has {channels}; "
            "paint with the same prior"
        )
    return latents


def start(latents: Tensor, surface: Surface, views: GuidedViews, params: Params) -> Tensor:
    """The RGB texture that looks like the latent one through a linear map, fitted to what the decoder makes of it."""
    prior = views.prior
    cameras = ring_of(params, 8, prior.latent_size).to(prior.device)
    seen = surface.footprints(cameras, latents.shape[0], params.supersampling)
    behind = encoded_backgrounds(prior)[[0, 1, 2, 0, 1, 2, 0, 1]]
    pixels = (seen.paint(latents) + (1 - seen.coverage)[..., None] * behind).movedim(-1, 1)
    with torch.no_grad():
        matrix, offset = fit_latent_to_rgb(pixels, torch.cat([prior.decode(view[None]) for view in pixels]))
    colours = (latents @ matrix + offset).clamp(0, 1).movedim(-1, 0)[None]
    size = (params.resolution, params.resolution)
    return functional.interpolate(colours, size, mode="bilinear", align_corners=False)[0].movedim(0, -1)


def seen_texels(surface: Surface, params: Params) -> Tensor:
    """Which texels some view from all round shows: [resolution, resolution] bool."""
    cameras = orbit_cameras(spiral(params, params.n_views), 128, 128).to(surface.device)
    found = [
        surface.footprints(cameras[view], params.resolution, params.supersampling) for view in range(cameras.views)
    ]
    return texel_evidence(found, [seen.facing for seen in found], params.resolution) > 0.2


def sds_losses(
    surface: Surface, texture: Tensor, views: GuidedViews, seeds: Seeds, params: Params
) -> Callable[[int], dict[str, Tensor]]:
    """Score distillation of RGB renders, enlarged to the prior's size and encoded with gradient."""
    prior, size = views.prior, params.image_size or views.prior.image_size
    levels = torch.tensor(list(NAMED_BACKGROUNDS.values()))

    def losses(step: int) -> dict[str, Tensor]:
        drawn = views.draw(seeds)
        cameras = orbit_cameras(drawn.orbit, size, size).to(prior.device)
        seen = surface.footprints(cameras, params.resolution, params.supersampling)
        behind = levels[drawn.backgrounds].to(prior.device)[:, None, None, None]
        images = (seen.paint(texture) + (1 - seen.coverage)[..., None] * behind).movedim(-1, 1)
        if size != prior.image_size:
            images = functional.interpolate(images, (prior.image_size,) * 2, mode="bilinear", align_corners=False)
        latents = prior.encode(images)
        limits = views.timestep_limits(step / params.steps)
        timesteps = draw_timesteps(cameras.views, prior.n_timesteps, limits, seeds.generator("timesteps"))
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(prior.device)
        return {"sds": sds_loss(latents, prior, drawn.guidance, timesteps.to(prior.device), noise, params.weighting)}

    return losses
