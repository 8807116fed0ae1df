"""TEXTure's iterative painting (Richardson et al. 2023, section 3): fill the texture that the image leaves unknown."""

import torch

from prior3d import checkpoints
from prior3d.cameras import Orbit, orbit_cameras, ring
from prior3d.dataset_update.inpaint_views import (
    FilledView,
    TextureState,
    ViewInpainter,
    finished_texture,
    initial_state,
    outward_views,
)
from prior3d.diffusion.inpainting import load_inpainting
from prior3d.diffusion.networks import dtype_of
from prior3d.images.files import contact_sheet, write_png
from prior3d.images.object_image import Viewpoint
from prior3d.meshes.painting import Surface
from prior3d.meshes.projection import (
    INPAINTED,
    MIRRORED,
    PROJECTED,
    UNKNOWN,
    SurfaceTexels,
    dilate_charts,
    surface_texels,
)
from prior3d.seeds import Seeds
from stages.artifacts.completions import load_completion
from stages.artifacts.images import load_object_image
from stages.artifacts.meshes import load_base_texture, load_paintable_mesh
from stages.artifacts.priors import object_prompt
from stages.artifacts.textures import load_partial_texture, save_partial_texture
from stages.contract.job import Job
from stages.contract.saving import save_checkpoint
from stages.inpainting import Params

VIEWS_PER_ROW = 8  # of views.png
SOURCES = {"projected": PROJECTED, "mirrored": MIRRORED, "inpainted": INPAINTED, "dilated": UNKNOWN}


def run(job: Job, params: Params) -> None:
    """Fill the texture."""
    prior = load_inpainting(job.prior(), job.device, dtype_of(params.precision))
    prior.use_engine(params.engine)
    image = load_object_image(job.inputs["image"])
    mesh = load_paintable_mesh(job.inputs["mesh"])
    paint = load_partial_texture(job.inputs["texture"], job.device)
    resolution, image_weight = len(paint.confidence), params.inpaint.image_weight
    surface, texels = Surface(mesh, job.device), surface_texels(mesh, resolution, job.device)
    state = initial_state(texels, paint, load_base_texture(job.inputs["mesh"], resolution), image_weight)
    prompt = object_prompt(job, prior)
    job.metric("unknown_words", len(prior.unknown_words(prompt)), "words", higher_is_better=False)
    seeds = Seeds(params.seed)
    inpainter = ViewInpainter(prior, prompt, surface, texels, state, seeds, params.prompting, params.inpaint)
    completed = load_completion(job.inputs["mesh"]) is not None
    views = outward_views(params.views, image.viewpoint)
    filled = keep_completion(job, state) if completed else fill_all(job, inpainter, views)
    if filled is None:
        return
    for name, source in SOURCES.items():
        job.metric(name, (state.source == source).float().mean().item(), "of texels", n=len(state.source))
    if not completed:
        state.fill_unknown(texels)
    covered = state.colours.isfinite().all(-1)
    job.metric("covered", covered.float().mean().item(), "of texels", n=len(covered))
    job.metric("views", len(filled), "views")
    save_partial_texture(job.out, finished_texture(texels, state, image_weight))
    write_images(job, filled, surface, texels, state, image.viewpoint)


def keep_completion(job: Job, state: TextureState) -> list[FilledView]:
    """Leave what the image does not show as the mesh has it: its texture is whole, and unknown to the prior."""
    state.colours = state.visible
    job.progress(1, 1, text="the mesh is the image's symmetric completion: the prior paints nothing")
    return []


def fill_all(job: Job, inpainter: ViewInpainter, orbit: Orbit) -> list[FilledView] | None:
    """All views, beginning after those of the checkpoint; None when the stage was asked to stop."""
    checkpoint, first, kept = job.work / "checkpoint.safetensors", 0, []
    loaded = checkpoints.load(checkpoint)
    if loaded is not None:
        tensors, about = loaded
        first = about["views_done"]
        kept = inpainter.restore({name: value.to(job.device) for name, value in tensors.items()}, about["filled"])
    for view in range(first, orbit.views):
        found = inpainter.fill(orbit[torch.tensor([view])])
        if found is not None:
            kept.append(found)
        job.progress(view + 1, orbit.views, text=f"{inpainter.state.known_fraction:.0%} of the texels are known")
        if job.stopping or job.checkpoint_due():
            done = {"views_done": view + 1, "filled": len(kept)}
            save_checkpoint(job, checkpoint, inpainter.checkpoint(kept), done)
        if job.stopping:
            return None
    return kept


def write_images(
    job: Job,
    filled: list[FilledView],
    surface: Surface,
    texels: SurfaceTexels,
    state: TextureState,
    viewpoint: Viewpoint,
) -> None:
    """`views.png`: each view with its hole grey, and filled. `preview.png`: the painted mesh from all round."""
    if filled:
        rows = []
        for first in range(0, len(filled), VIEWS_PER_ROW):
            some = filled[first : first + VIEWS_PER_ROW]
            rows.append([view.before.where(~view.hole, 0.5).movedim(0, -1).cpu().numpy() for view in some])
            rows.append([view.after.movedim(0, -1).cpu().numpy() for view in some])
        write_png(job.out / "views.png", contact_sheet(rows))
    cameras = orbit_cameras(ring(8, 15.0, viewpoint.radius, viewpoint.fov_deg), 128, 128).to(surface.device)
    weights = surface.texel_weights(cameras, texels.resolution, 2)
    texture = dilate_charts(texels.to_texture(state.colours), texels)
    images = weights.render(texture) + 0.85 * (1 - weights.coverage[..., None])
    write_png(job.out / "preview.png", contact_sheet([list(images.clamp(0, 1).cpu().numpy())]))
