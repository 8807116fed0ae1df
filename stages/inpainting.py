"""The unseen part of a texture, filled view by view by an inpainting prior.

From the photograph's camera outwards the mesh is looked at from all round, then from above and from below. In each view
the prior fills what no view has shown yet (`stages.inpainted_views`). What remains takes the colour of the nearest
surface that is known, and is counted.

Where the mesh comes with a texture of its own (baked from a coarse NeRF), and at a noise level below 1, the prior
begins from a render of it and not from noise alone, so that the sides stay what the NeRF has made of them; without such
a texture it then begins from the nearest known colours.
"""

import math
from typing import TYPE_CHECKING

from pydantic import Field

from stages import artifacts, image_artifacts, paint_artifacts
from stages.concept_artifact import Concept
from stages.entry import Job, StageParams, main
from stages.guided_views import DEGREES
from stages.inpainted_views import Coat, InpaintedViews
from stages.subject import subject

if TYPE_CHECKING:
    from torch import Tensor

    from prior3d.cameras import Orbit
    from prior3d.meshes.painting import Surface
    from prior3d.meshes.projection import PartialTexture, SurfaceTexels
    from prior3d.object_image import Viewpoint
    from stages.inpainted_views import FilledView


class Params(StageParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    guidance_scale: float = Field(2.0, ge=1, le=200, description="classifier-free guidance s; 1 is none")
    denoising_steps: int = Field(20, ge=1, le=1000, description="DDIM steps of each view")
    noise_level: float = Field(
        1.0,
        gt=0,
        le=1,
        description="below 1 a hole begins from the mesh's own texture, or the nearest known colours, noised to this",
        json_schema_extra={"unit": "of T"},
    )
    negative_prompt: str = Field("", max_length=1000, description="what guidance moves away from")
    view_words: bool = Field(True, description="name the view (front, side, back, overhead) in the prompt")
    front_deg: float = Field(
        90, ge=0, le=180, description="width of the front and of the back sector", json_schema_extra=DEGREES
    )
    overhead_deg: float = Field(
        60, ge=0, le=90, description="elevation above which a view is overhead", json_schema_extra=DEGREES
    )
    camera_conditioning: bool = Field(True, description="give the exact camera to priors that take one")
    azimuth_step_deg: float = Field(
        45, ge=5, le=180, description="between the views of the middle ring", json_schema_extra=DEGREES
    )
    elevation_deg: float = Field(15, ge=-60, le=60, description="of the middle ring", json_schema_extra=DEGREES)
    upper_deg: float = Field(55, ge=0, le=90, description="of four views from above", json_schema_extra=DEGREES)
    lower_deg: float = Field(-8, ge=-90, le=0, description="of four views from below", json_schema_extra=DEGREES)
    squareness: float = Field(
        1.5, ge=0, le=10, description="power of the cosine to the surface's normal that weighs a drawn pixel"
    )
    photograph_weight: float = Field(
        4.0, gt=0, le=1000, description="how much more a pixel of the photograph counts than a drawn one"
    )
    renewal: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a texel is drawn again by a view that would know it better by this factor; 0: never",
    )
    drawn_share: float = Field(
        1.0, gt=0, le=1, description="of what is drawn; the rest is what stood there, such as the mesh's own texture"
    )
    smallest_hole: float = Field(
        0.02, ge=0, le=1, description="views with less to fill are left out", json_schema_extra={"unit": "of pixels"}
    )
    seam_steps: int = Field(
        8,
        ge=0,
        le=1000,
        description="how far a shade's difference at the edge of a hole is carried into it",
        json_schema_extra={"unit": "pixels"},
    )
    supersampling: int = Field(3, ge=1, le=16, description="samples along each side of a pixel")


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"guidance_scale": 7.5, "denoising_steps": 50}}
INPUTS = {
    "mesh": paint_artifacts.PaintableMesh,
    "texture": paint_artifacts.PartialTexture,
    "image": image_artifacts.ObjectImage,
    "prompt": artifacts.Prompt,
    "concept": Concept,
    "prior": artifacts.Prior,
}
OPTIONAL_INPUTS = frozenset({"prompt", "concept"})
OUTPUT = paint_artifacts.PartialTexture


def run(job: Job, params: Params) -> None:
    """Fill the texture."""
    from prior3d.meshes.painting import Surface
    from prior3d.meshes.projection import INPAINTED, MIRRORED, PROJECTED, UNKNOWN, nearest_known, surface_texels
    from prior3d.priors.loading import load_inpainting
    from prior3d.seeds import Seeds

    prior = load_inpainting(job.prior(), job.device)
    image = image_artifacts.ObjectImage.load(job.inputs["image"])
    mesh = paint_artifacts.PaintableMesh.load(job.inputs["mesh"])
    paint = paint_artifacts.PartialTexture.load(job.inputs["texture"], job.device)
    resolution = paint.confidence.shape[0]
    surface, points = Surface(mesh, job.device), surface_texels(mesh, resolution, job.device)
    guess = paint_artifacts.PaintableMesh.guess(job.inputs["mesh"], resolution)
    coat = first_coat(points, paint, guess, params.photograph_weight)
    prompt = subject(job, prior.diffusion)
    unknown = prior.diffusion.unknown_words(prompt)
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
    paint_artifacts.PartialTexture.save(job.out, whole_texture(points, coat, params.photograph_weight))
    write_pictures(job, filled, surface, points, coat, image.viewpoint)


def fill_all(job: Job, params: Params, views: InpaintedViews, viewpoint: "Viewpoint") -> "list[FilledView] | None":
    """All views, beginning after those of the checkpoint; None when the stage was asked to stop."""
    import torch

    from prior3d import checkpoints

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


def order_of_views(params: Params, viewpoint: "Viewpoint") -> "Orbit":
    """From the photograph's camera outwards, left and right in turn, to the back; then from above, then from below."""
    import torch

    from prior3d.cameras import Orbit

    steps = torch.arange(1, math.ceil((180 - 1e-3) / params.azimuth_step_deg)) * params.azimuth_step_deg  # below 180
    middle = [*torch.stack([steps, -steps], -1).flatten().tolist(), 180.0]
    around = [0.0, 90.0, -90.0, 180.0]
    offsets = torch.tensor([*middle, *around, *around])
    heights = [params.elevation_deg] * len(middle) + [params.upper_deg] * 4 + [params.lower_deg] * 4
    azimuth_deg = (viewpoint.azimuth_deg + offsets) % 360
    fill = torch.ones_like(azimuth_deg)
    return Orbit(azimuth_deg, torch.tensor(heights), viewpoint.radius * fill, viewpoint.fov_deg * fill)


def first_coat(points: "SurfaceTexels", paint: "PartialTexture", guess: "Tensor | None", weight: float) -> Coat:
    """What is known at the beginning; elsewhere stands the guess, or the nearest known colour."""
    from prior3d.meshes.projection import nearest_known

    colours, confidence = points.of(paint.colours), points.of(paint.confidence) * weight
    if guess is not None:
        base = points.of(guess.to(colours))
    else:
        base = nearest_known(points.positions, colours, confidence > 0)
    return Coat(colours, confidence, base, points.of(paint.source))


def whole_texture(points: "SurfaceTexels", coat: Coat, weight: float) -> "PartialTexture":
    """The coat as a texture that is continued beyond the charts; the photograph's confidence as it came."""
    import torch

    from prior3d.meshes.atlas import dilate
    from prior3d.meshes.projection import MIRRORED, PROJECTED, PartialTexture

    charts = points.whole(torch.ones_like(coat.confidence)) > 0
    colours = dilate(points.whole(coat.colours).cpu().numpy(), charts.cpu().numpy(), steps=8)
    of_photograph = (coat.source == PROJECTED) | (coat.source == MIRRORED)
    confidence = torch.where(of_photograph, coat.confidence / weight, coat.confidence)
    return PartialTexture(
        torch.from_numpy(colours).to(coat.colours), points.whole(confidence), points.whole(coat.source)
    )


def write_pictures(
    job: Job,
    filled: "list[FilledView]",
    surface: "Surface",
    points: "SurfaceTexels",
    coat: Coat,
    viewpoint: "Viewpoint",
) -> None:
    """`views.png`: each view with its hole grey, and filled. `preview.png`: the painted mesh all round."""
    from prior3d.cameras import orbit_cameras, ring
    from prior3d.images import contact_sheet, write_png
    from prior3d.meshes.projection import grown

    if filled:
        rows = []
        for first in range(0, len(filled), 8):
            some = filled[first : first + 8]
            rows.append([v.before.where(~v.hole, 0.5).movedim(0, -1).cpu().numpy() for v in some])
            rows.append([v.after.movedim(0, -1).cpu().numpy() for v in some])
        write_png(job.out / "views.png", contact_sheet(rows))
    cameras = orbit_cameras(ring(8, 15.0, viewpoint.radius, viewpoint.fov_deg), 128, 128).to(surface.device)
    seen = surface.footprints(cameras, points.resolution, 2)
    pictures = seen.paint(grown(points.whole(coat.colours), points)) + 0.85 * (1 - seen.coverage[..., None])
    write_png(job.out / "preview.png", contact_sheet([list(pictures.clamp(0, 1).cpu().numpy())]))


if __name__ == "__main__":
    main("stages.inpainting")
