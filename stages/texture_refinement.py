"""Latent-Paint's second stage: the latent texture becomes an RGB texture, refined, and the mesh is painted with it.

By `mode`:
- `sds`, the paper's: score distillation again, of RGB renders through the prior's encoder.
- `consistency`: the texture is fitted to views that the prior makes from it. They are rendered over the flat background
  that the object stands out from, noised, and denoised with their camera and text (SDEdit, Meng et al. 2022); then they
  are made anew from what was fitted (the dataset update of Instruct-NeRF2NeRF, Haque et al. 2023). The mesh is known,
  so its pixels are too, and a view counts where it looks at the surface squarely and shows something there. What no
  view tells takes the colour of the nearest surface that one does.

In place of latents it may be given paint, a texture in colour of which a photograph showed a part (Make-It-3D's
second stage, Tang et al. 2023). Refinement then begins there, and what the photograph showed is held.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from prior3d.errors import Prior3dError
from stages import artifacts, image_artifacts, mesh_artifacts, paint_artifacts
from stages.anchored_texture import load_anchors
from stages.concept_artifact import Concept
from stages.entry import Job, main
from stages.guided_views import PAPER_VIEWS, GuidedParams, GuidedViews, Preview, ring_of, spiral, write_row
from stages.repainted_views import RepaintedViews
from stages.shown_picture import showing_picture
from stages.subject import subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from prior3d.meshes.painting import Surface
    from prior3d.seeds import Seeds


class Params(GuidedParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    mode: Literal["consistency", "sds"] = Field("consistency", description="fit decoded views, or distil RGB renders")
    steps: int = Field(120, ge=1, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    learning_rate: float = Field(0.05, gt=0, le=1, description="of the texture, whose values are colours in [0, 1]")
    adam_epsilon: float = Field(
        1e-6, gt=0, le=1, description="gradients far below it hardly move a value; smaller ones leave colours speckled"
    )
    decay_from: float = Field(
        0.6, ge=0, le=1, description="when learning rates begin to fall", json_schema_extra={"unit": "of steps"}
    )
    decay_to: float = Field(0.1, gt=0, le=1, description="what they fall to by the end, as a fraction; 1 is no decay")
    resolution: int = Field(
        256, ge=16, le=4096, description="side of the texture", json_schema_extra={"unit": "texels"}
    )
    supersampling: int = Field(3, ge=1, le=16, description="samples along each side of a pixel")
    n_views: int = Field(24, ge=4, le=400, description="consistency: views that the texture is fitted to")
    noise_levels: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.7, 0.5, 0.3),
        min_length=1,
        description="consistency: noise level to which views are re-made, one for each time; 0 only decodes",
        json_schema_extra={"unit": "of T"},
    )
    denoising_steps: int = Field(8, ge=1, le=1000, description="consistency: DDIM steps from the noise level down")
    squareness: float = Field(
        2.0, ge=0, le=10, description="consistency: power of the cosine to the surface's normal that weighs a pixel"
    )
    smoothness_weight: float = Field(0.5, ge=0, description="weight of the differences between neighbouring texels")
    anchor_weight: float = Field(4.0, ge=0, description="paint: weight of its photographed texels staying as they are")
    photograph_weight: float = Field(
        4.0, ge=0, description="paint: weight of the photograph's pixels, seen from its camera"
    )
    picture_steps: int = Field(
        20,
        ge=0,
        le=1000,
        description="paint: steps that at last fit what the photograph's camera sees to its pixels; 0: none",
        json_schema_extra={"unit": "steps"},
    )
    image_size: int = Field(
        0, ge=0, le=1024, description="size of renders; 0: the prior's", json_schema_extra={"unit": "pixels"}
    )


PRESETS = {
    "toy": {},
    "paper": PAPER_VIEWS
    | {
        "fov_deg": (60.0, 60.0),
        "mode": "sds",
        "steps": 5000,
        "learning_rate": 1e-2,
        "decay_to": 1.0,
        "adam_epsilon": 1e-15,
        "resolution": 1024,
        "smoothness_weight": 0.0,
    },
}
INPUTS = {
    "mesh": paint_artifacts.PaintableMesh,
    "texture": mesh_artifacts.LatentTexture,
    "paint": paint_artifacts.PartialTexture,
    "image": image_artifacts.ObjectImage,
    "prompt": artifacts.Prompt,
    "prior": artifacts.Prior,
    "concept": Concept,
}
OPTIONAL_INPUTS = frozenset({"texture", "paint", "image", "prompt", "concept"})
OUTPUT = artifacts.TexturedMesh


def run(job: Job, params: Params) -> None:
    """Turn the latent texture into colours."""
    import torch

    from prior3d.meshes.painting import Surface, Texture, finished_texture
    from prior3d.optimisation import late_decay, optimise
    from prior3d.priors.loading import load_text_to_image
    from prior3d.seeds import Seeds

    prior = load_text_to_image(job.prior(), job.device)
    views = GuidedViews(prior, subject(job, prior), params, named_backgrounds=True)
    views.warn(job, params.steps)
    seeds = Seeds(params.seed)
    mesh = paint_artifacts.PaintableMesh.load(job.inputs["mesh"])
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

    def pictures() -> "Tensor":
        cameras = ring_of(params, 8, prior.image_size).to(job.device)
        seen = surface.footprints(cameras, params.resolution, params.supersampling)
        with torch.no_grad():
            return (seen.paint(texture.values.clamp(0, 1)) + 1 - seen.coverage[..., None]).movedim(-1, 1)

    preview = Preview(job, lambda: pictures()[::2])

    def with_preview(step: int) -> "dict[str, Tensor]":
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
            own = paint_artifacts.PaintableMesh.guess(job.inputs["mesh"], params.resolution)
            shown = showing_picture(job, surface, torch.from_numpy(painted), params.picture_steps, own)
            painted = shown.cpu().numpy()
            with torch.no_grad():
                texture.values.copy_(torch.from_numpy(painted))
        artifacts.TexturedMesh.save_painted(job.out, mesh, painted)
        job.metric("surface_seen", seen_share, "of texels", n=params.resolution**2, higher_is_better=True)
        job.metric("glb_size", (job.out / "mesh.glb").stat().st_size / 1e6, "MB", higher_is_better=False)
        write_row(job.out / "preview.png", pictures())


def latent_texture(job: Job, channels: int) -> "Tensor":
    """The input texture, whose latents must be those of the prior (raises Prior3dError if they are not)."""
    latents = mesh_artifacts.LatentTexture.load(job.inputs["texture"], job.device)
    if latents.shape[-1] != channels:
        raise Prior3dError(
            f"{job.name}: the latent texture has {latents.shape[-1]} channels, this prior has {channels}; "
            "paint with the same prior"
        )
    return latents


def start(latents: "Tensor", surface: "Surface", views: GuidedViews, params: Params) -> "Tensor":
    """The RGB texture that looks like the latent one through a linear map, fitted to what the decoder makes of it."""
    import torch
    import torch.nn.functional as functional

    from prior3d.backgrounds import encoded_backgrounds
    from prior3d.colours import fit_latent_to_rgb

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


def seen_texels(surface: "Surface", params: Params) -> "Tensor":
    """Which texels some view from all round shows: [resolution, resolution] bool."""
    from prior3d.cameras import orbit_cameras
    from prior3d.meshes.painting import texel_evidence

    cameras = orbit_cameras(spiral(params, params.n_views), 128, 128).to(surface.device)
    found = [
        surface.footprints(cameras[view], params.resolution, params.supersampling) for view in range(cameras.views)
    ]
    return texel_evidence(found, [seen.facing for seen in found], params.resolution) > 0.2


def sds_losses(
    surface: "Surface", texture: "Tensor", views: GuidedViews, seeds: "Seeds", params: Params
) -> "Callable[[int], dict[str, Tensor]]":
    """Score distillation of RGB renders, enlarged to the prior's size and encoded with gradient."""
    import torch
    import torch.nn.functional as functional

    from prior3d.backgrounds import NAMED_BACKGROUNDS
    from prior3d.cameras import orbit_cameras
    from prior3d.distillation import draw_timesteps, sds_loss

    prior, size = views.prior, params.image_size or views.prior.image_size
    levels = torch.tensor(list(NAMED_BACKGROUNDS.values()))

    def losses(step: int) -> "dict[str, Tensor]":
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


if __name__ == "__main__":
    main("stages.texture_refinement")
