"""The RGB texture of Latent-Paint, section 3.4, refined with the prior; or Make-It-3D's painted texture."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.dataset_update.anchors import Anchors, anchors_of
from prior3d.dataset_update.refresh_texture import RefreshedTextureViews
from prior3d.diffusion.networks import dtype_of
from prior3d.diffusion.text_to_image import TextToImagePrior, load_text_to_image
from prior3d.distillation.backgrounds import fit_latent_to_rgb_of_views, grey_levels
from prior3d.distillation.losses import Distillation, distillation_of_one
from prior3d.distillation.view_sampler import ViewBatch, ViewSampler, ring_cameras, spiral
from prior3d.errors import Prior3dError
from prior3d.meshes.mesh import UvMesh
from prior3d.meshes.painted_files import save_painted
from prior3d.meshes.painting import Surface, Texture, fill_unseen_texels, texel_evidence
from prior3d.meshes.texture_fit import fit_texture_to_image
from prior3d.optimisation import adam, decay, optimise
from prior3d.seeds import Seeds
from stages.artifacts.completions import load_completion
from stages.artifacts.images import load_object_image
from stages.artifacts.meshes import load_base_texture, load_paintable_mesh
from stages.artifacts.priors import object_prompt
from stages.artifacts.textures import load_latent_texture, load_partial_texture
from stages.contract.job import Job
from stages.contract.preview import Preview, warn_of_unknown_words, write_row
from stages.texture_refinement import Params

DIVERGED = "lower texture_refinement.optimiser.learning_rate or texture_refinement.sds.guidance_scale"
Losses = Callable[[int], dict[str, Tensor]]


def run(job: Job, params: Params) -> None:
    """Turn the latent texture into colours."""
    prior, seeds = prior_of(job, params), Seeds(params.seed)
    prompt = object_prompt(job, prior)
    views = ViewSampler(prior, prompt, params.views, params.prompting, params.sds, named_backgrounds=True)
    warn_of_unknown_words(job, views.unknown_words, params.steps)
    surface = Surface(mesh := load_paintable_mesh(job.inputs["mesh"]), job.device)
    texture, latents, anchors = first_texture(job, params, surface, views)
    modules: dict[str, nn.Module] = {"texture": texture}
    groups: list[dict[str, Any]] = [{"params": [*texture.parameters()], "lr": params.optimiser.learning_rate}]
    if params.mode == "sds":
        losses, distil = sds_losses(surface, texture.values, views, seeds, params)
        modules, groups = modules | distil.modules, groups + distil.parameter_groups()
        known = lambda: rendered_texels(surface, params)  # noqa: E731
    else:
        refreshed = RefreshedTextureViews(surface, texture.values, views, seeds, params.refresh, params.steps, latents)
        modules["targets"] = refreshed.targets
        losses, known = refreshed.losses, refreshed.trusted_texels
    preview = Preview(job, lambda: ring_images(surface, texture.values, prior.image_size, params)[::2])

    def with_anchors(step: int) -> dict[str, Tensor]:
        preview.perhaps(step, params.steps)
        return losses(step) | ({} if anchors is None else anchors.losses(texture.values, params.anchors))

    finished = optimise(
        with_anchors,
        modules=modules,
        optimiser=adam(groups, params.optimiser),
        n_steps=0 if load_completion(job.inputs["mesh"]) is not None else params.steps,  # it is whole without a prior
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=decay(params.optimiser),
        advice=DIVERGED,
    )
    if finished:
        painted, fraction = paint(job, params, mesh, surface, texture, known(), anchors)
        save(job, mesh, painted, fraction)
        shown = painted if anchors is not None and "image" in job.inputs else texture.values.detach()
        write_row(job.out / "preview.png", ring_images(surface, shown, prior.image_size, params))


def prior_of(job: Job, params: Params) -> TextToImagePrior:
    """The prior, run by the engine that is asked for."""
    prior = load_text_to_image(job.prior(), job.device, dtype_of(params.precision))
    prior.use_engine(params.engine)
    return prior


def save(job: Job, mesh: UvMesh, painted: Tensor, fraction: float) -> None:
    """Write the painted mesh; how much of it views showed, and how large it is."""
    save_painted(job.out, mesh, painted.cpu().numpy())
    job.metric("surface_seen", fraction, "of texels", n=painted.shape[0] ** 2, higher_is_better=True)
    job.metric("glb_size", (job.out / "mesh.glb").stat().st_size / 1e6, "MB", higher_is_better=False)


def first_texture(
    job: Job, params: Params, surface: Surface, views: ViewSampler
) -> tuple[Texture, Tensor | None, Anchors | None]:
    """The texture at the start; the latents that it comes from, or the anchors that hold its paint."""
    if ("texture" in job.inputs) == ("paint" in job.inputs):
        raise Prior3dError(f"{job.name}: give either --texture, of latents, or --paint, of colours")
    if "texture" in job.inputs:
        latents = latent_texture(job, views.prior.latent_channels)
        return Texture(start(latents, surface, views, params)), latents, None
    image = load_object_image(job.inputs["image"]) if "image" in job.inputs else None
    paint = load_partial_texture(job.inputs["paint"], job.device)
    anchors = anchors_of(paint, surface, image, params.resolution, params.refresh.supersampling)
    return Texture(anchors.colours), None, anchors


def latent_texture(job: Job, channels: int) -> Tensor:
    """The input texture, whose latents must be those of the prior (raises Prior3dError if they are not)."""
    latents = load_latent_texture(job.inputs["texture"], job.device)
    if latents.shape[-1] != channels:
        raise Prior3dError(
            f"{job.name}: the latent texture has {latents.shape[-1]} channels, this prior has {channels}; "
            "paint with the same prior"
        )
    return latents


@torch.no_grad()
def start(latents: Tensor, surface: Surface, views: ViewSampler, params: Params) -> Tensor:
    """The RGB texture that looks like the latent one through a linear map, fitted to what the decoder makes of it."""
    cameras = ring_cameras(params.views, 8, views.prior.latent_size).to(views.prior.device)
    found = surface.texel_weights(cameras, latents.shape[0], params.refresh.supersampling)
    matrix, offset = fit_latent_to_rgb_of_views(views.prior, found.render(latents), found.coverage)
    colours = (latents @ matrix + offset).clamp(0, 1).movedim(-1, 0)[None]
    size = (params.resolution, params.resolution)
    return functional.interpolate(colours, size, mode="bilinear", align_corners=False)[0].movedim(0, -1)


def sds_losses(
    surface: Surface, texture: Tensor, views: ViewSampler, seeds: Seeds, params: Params
) -> tuple[Losses, Distillation[ViewBatch]]:
    """Score distillation of RGB renders, resized to the prior's size and encoded with gradient."""
    distil = distillation_of_one(views, seeds, params.sds, "image")

    def render_images(cameras: Cameras, batch: ViewBatch) -> Tensor:
        found = surface.texel_weights(cameras, params.resolution, params.refresh.supersampling)
        behind = grey_levels(batch.backgrounds, surface.device)
        return (found.render(texture) + (1 - found.coverage)[..., None] * behind).movedim(-1, 1)

    return lambda step: distil(render_images, step / params.steps).terms, distil


def rendered_texels(surface: Surface, params: Params) -> Tensor:
    """Which texels some view from all around shows: [resolution, resolution] bool."""
    cameras = orbit_cameras(spiral(params.views, params.refresh.n_views), 128, 128).to(surface.device)
    found = [
        surface.texel_weights(cameras[view], params.resolution, params.refresh.supersampling)
        for view in range(cameras.views)
    ]
    return texel_evidence(found, [view.cos_theta for view in found], params.resolution) > 0.2


def paint(
    job: Job,
    params: Params,
    mesh: UvMesh,
    surface: Surface,
    texture: Texture,
    known: Tensor,
    anchors: Anchors | None,
) -> tuple[Tensor, float]:
    """The finished texture [resolution, resolution, 3], and the fraction of the surface's texels that were fitted."""
    if anchors is not None:  # what no view shows was filled before
        known = torch.ones_like(known)
    painted, fraction = fill_unseen_texels(mesh, texture.values.detach(), known)
    result = torch.from_numpy(painted)
    if anchors is not None and "image" in job.inputs:
        image = load_object_image(job.inputs["image"])
        rim = load_base_texture(job.inputs["mesh"], params.resolution)
        result = fit_texture_to_image(surface, result, image, params.anchors.image_steps, rim)
    return result, fraction


@torch.no_grad()
def ring_images(surface: Surface, texture: Tensor, size: int, params: Params) -> Tensor:
    """The painted mesh from all around, over white: [8, 3, size, size]."""
    cameras = ring_cameras(params.views, 8, size).to(surface.device)
    found = surface.texel_weights(cameras, params.resolution, params.refresh.supersampling)
    return (found.render(texture.to(surface.device).clamp(0, 1)) + 1 - found.coverage[..., None]).movedim(-1, 1)
