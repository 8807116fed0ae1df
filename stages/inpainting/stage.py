"""The body of inpainting; the package says what it takes, gives and is set by."""

import math

import torch
from torch import Tensor

from prior3d import checkpoints
from prior3d.cameras import Orbit, orbit_cameras, ring
from prior3d.diffusion.loading import load_inpainting
from prior3d.images.files import contact_sheet, write_png
from prior3d.images.object_image import Viewpoint
from prior3d.meshes.atlas import dilate
from prior3d.meshes.painting import Surface
from prior3d.meshes.projection import (
    INPAINTED,
    MIRRORED,
    PROJECTED,
    UNKNOWN,
    PartialTexture,
    SurfaceTexels,
    dilate_charts,
    nearest_known,
    surface_texels,
)
from prior3d.seeds import Seeds
from stages.artifacts.images import load_object_image
from stages.artifacts.meshes import load_base_texture, load_paintable_mesh
from stages.artifacts.priors import object_prompt
from stages.artifacts.textures import load_partial_texture, save_partial_texture
from stages.contract.job import Job
from stages.inpainted_views import Coat, FilledView, InpaintedViews
from stages.inpainting import Params


def run(job: Job, params: Params) -> None:
    """Fill the texture."""
    prior = load_inpainting(job.prior(), job.device)
    image = load_object_image(job.inputs["image"])
    mesh = load_paintable_mesh(job.inputs["mesh"])
    paint = load_partial_texture(job.inputs["texture"], job.device)
    resolution = paint.confidence.shape[0]
    surface, points = Surface(mesh, job.device), surface_texels(mesh, resolution, job.device)
    guess = load_base_texture(job.inputs["mesh"], resolution)
    coat = first_coat(points, paint, guess, params.photograph_weight)
    prompt = object_prompt(job, prior)
    unknown = prior.unknown_words(prompt)
    job.metric("unknown_words", len(unknown), "words", higher_is_better=False)
    seeds = Seeds(params.seed)
    views = InpaintedViews(prior, prompt, surface, points, coat, seeds, params)
    filled = fill_all(job, params, views, image.viewpoint)
    if filled is None:
        return
    kinds = {"projected": PROJECTED, "mirrored": MIRRORED, "inpainted": INPAINTED, "dilated": UNKNOWN}
    for name, source in kinds.items():
        share = (coat.source == source).float().mean().item()
        job.metric(name, share, "of texels", n=len(coat.source))
    known = coat.confidence > 0
    # What no view has shown keeps its confidence of 0, but not its emptiness.
    coat.colours = coat.colours.where(known[:, None], nearest_known(points.positions, coat.colours, known))
    job.metric("covered", coat.colours.isfinite().all(-1).float().mean().item(), "of texels", n=len(known))
    job.metric("views", len(filled), "views")
    save_partial_texture(job.out, whole_texture(points, coat, params.photograph_weight))
    write_pictures(job, filled, surface, points, coat, image.viewpoint)


def fill_all(job: Job, params: Params, views: InpaintedViews, viewpoint: Viewpoint) -> list[FilledView] | None:
    """All views, beginning after those of the checkpoint; None when the stage was asked to stop."""
    orbit = order_of_views(params, viewpoint)
    checkpoint, first, kept = job.work / "checkpoint.safetensors", 0, []
    loaded = checkpoints.load(checkpoint)
    if loaded is not None:
        tensors, state = loaded
        first = state["views_done"]
        kept = views.restore({name: value.to(job.device) for name, value in tensors.items()}, state["filled"])
    for view in range(first, orbit.views):
        found = views.fill(orbit[torch.tensor([view])])
        if found is not None:
            kept.append(found)
        job.progress(view + 1, orbit.views, text=f"{views.coat.known_share:.0%} of the texels are known")
        if job.stopping or job.checkpoint_due():
            checkpoints.save(checkpoint, views.state(kept), {"views_done": view + 1, "filled": len(kept)})
        if job.stopping:
            return None
    return kept


def order_of_views(params: Params, viewpoint: Viewpoint) -> Orbit:
    """From the photograph's camera outwards, left and right in turn, to the back; then from above, then from below."""
    steps = torch.arange(1, math.ceil((180 - 1e-3) / params.azimuth_step_deg)) * params.azimuth_step_deg  # below 180
    middle = [*torch.stack([steps, -steps], -1).flatten().tolist(), 180.0]
    around = [0.0, 90.0, -90.0, 180.0]
    offsets = torch.tensor([*middle, *around, *around])
    heights = [params.elevation_deg] * len(middle) + [params.upper_deg] * 4 + [params.lower_deg] * 4
    azimuth_deg = (viewpoint.azimuth_deg + offsets) % 360
    fill = torch.ones_like(azimuth_deg)
    return Orbit(
        azimuth_deg, torch.tensor(heights, dtype=torch.float32), viewpoint.radius * fill, viewpoint.fov_deg * fill
    )


def first_coat(points: SurfaceTexels, paint: PartialTexture, guess: Tensor | None, weight: float) -> Coat:
    """What is known at the beginning; elsewhere stands the guess, or the nearest known colour."""
    colours, confidence = points.from_texture(paint.colours), points.from_texture(paint.confidence) * weight
    if guess is not None:
        base = points.from_texture(guess.to(colours))
    else:
        base = nearest_known(points.positions, colours, confidence > 0)
    return Coat(colours, confidence, base, points.from_texture(paint.source))


def whole_texture(points: SurfaceTexels, coat: Coat, weight: float) -> PartialTexture:
    """The coat as a texture that is continued beyond the charts; the photograph's confidence as it came."""
    charts = points.to_texture(torch.ones_like(coat.confidence)) > 0
    colours = dilate(points.to_texture(coat.colours).cpu().numpy(), charts.cpu().numpy(), steps=8)
    of_photograph = (coat.source == PROJECTED) | (coat.source == MIRRORED)
    confidence = torch.where(of_photograph, coat.confidence / weight, coat.confidence)
    return PartialTexture(
        torch.from_numpy(colours).to(coat.colours), points.to_texture(confidence), points.to_texture(coat.source)
    )


def write_pictures(
    job: Job,
    filled: list[FilledView],
    surface: Surface,
    points: SurfaceTexels,
    coat: Coat,
    viewpoint: Viewpoint,
) -> None:
    """`views.png`: each view with its hole grey, and filled. `preview.png`: the painted mesh all round."""
    if filled:
        rows = []
        for first in range(0, len(filled), 8):
            some = filled[first : first + 8]
            rows.append([v.before.where(~v.hole, 0.5).movedim(0, -1).cpu().numpy() for v in some])
            rows.append([v.after.movedim(0, -1).cpu().numpy() for v in some])
        write_png(job.out / "views.png", contact_sheet(rows))
    cameras = orbit_cameras(ring(8, 15.0, viewpoint.radius, viewpoint.fov_deg), 128, 128).to(surface.device)
    seen = surface.texel_weights(cameras, points.resolution, 2)
    pictures = seen.render(dilate_charts(points.to_texture(coat.colours), points)) + 0.85 * (
        1 - seen.coverage[..., None]
    )
    write_png(job.out / "preview.png", contact_sheet([list(pictures.clamp(0, 1).cpu().numpy())]))
