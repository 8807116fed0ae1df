"""The body of mesh_extraction; the package says what it takes, gives and is set by."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from prior3d.fields import RadianceField
from prior3d.fields.protocol import DrawsItself
from prior3d.meshes.extraction import cut_share, density_grid, isosurface, remove_small_parts
from prior3d.meshes.mesh import Mesh, measure
from prior3d.meshes.missing_parts import fill_missing_parts
from prior3d.meshes.raster import Raycaster
from prior3d.meshes.silhouette_fit import SilhouetteTarget, fit_silhouettes
from prior3d.meshes.simplification import simplify, without_small_parts
from prior3d.meshes.threshold import choose_threshold, march_silhouettes, measure_threshold, viewing_ring
from prior3d.rendering.rays import rays
from stages.artifacts.fields import load_drawn, load_field
from stages.artifacts.images import load_object_image
from stages.artifacts.meshes import save_mesh
from stages.contract.job import Job
from stages.mesh_extraction import Params

STEPS = 6
MOST_CUT = 0.02  # of the surface: more of it is said
PICTURE_SIZE = 64  # pixels of a side at which a picture's outline is compared


def run(job: Job, params: Params) -> None:
    """Extract the mesh."""
    drawn = load_drawn(job.inputs["field"], job.device)
    if drawn is not None:
        fuse_depths(job, params, drawn)
        return
    field = load_field(job.inputs["field"], job.device)
    job.progress(0, STEPS, text="density grid")
    grid = density_grid(field, params.resolution, params.smoothing)
    job.progress(1, STEPS, text="outlines of the field")
    cameras = viewing_ring(params.n_azimuths)
    seen = march_silhouettes(field, grid, cameras)
    chosen = choose_threshold(seen) if params.threshold is None else measure_threshold(seen, params.threshold)
    job.progress(2, STEPS, text=f"surface at density {chosen.density:.3g}, fitted to outlines")
    targets = [SilhouetteTarget(cameras, seen), *image_target(job, params, field, grid)]
    grid = fit_silhouettes(grid, field.config.bound, chosen.density, targets, params.outline_steps)
    job.progress(3, STEPS, text="floaters and cavities")
    smallest = params.min_part_fraction, params.min_part_extent
    solid, n_removed = remove_small_parts(grid.cpu().numpy(), chosen.density, *smallest)
    if "image" in job.inputs and params.missing_parts:
        solid = with_missing_parts(job, solid, field.config.bound, chosen.density)
    surface = isosurface(solid, chosen.density, field.config.bound)
    warn_of_cut(job, surface, field, params.resolution)
    job.progress(4, STEPS, text=f"smoothing and decimating {len(surface.faces):,} faces")
    mesh = simplify(surface, params.max_faces, params.smoothing_steps)
    job.progress(5, STEPS, text="checks")
    save_mesh(job.out, mesh)
    quality = measure(mesh)
    job.metric("threshold", chosen.density, "1 / world unit")
    job.metric("depth_error", chosen.depth_error, "world units", n=int(seen.opaque.sum()), higher_is_better=False)
    for name, target in zip(("silhouette_iou", "picture_iou"), targets, strict=False):
        job.metric(name, silhouette_iou(mesh, target), "", n=target.cameras.views, higher_is_better=True)
    job.metric("faces", quality.faces, "faces")
    job.metric("parts", quality.components, "parts", higher_is_better=False)
    job.metric("floaters_removed", n_removed, "parts")
    job.metric("watertight", float(quality.watertight), "yes/no", higher_is_better=True)
    job.progress(STEPS, STEPS, text=f"{quality.faces:,} faces")


def fuse_depths(job: Job, params: Params, drawn: DrawsItself) -> None:
    """The mesh of splats: their median depths, fused, without small parts, smoothed and decimated."""
    job.progress(0, 2, text="depths, fused")
    whole = Mesh(*drawn.surface(params.resolution))
    surface, n_removed = without_small_parts(whole, params.min_part_fraction)
    job.progress(1, 2, text=f"smoothing and decimating {len(surface.faces):,} faces")
    mesh = simplify(surface, params.max_faces, params.smoothing_steps)
    save_mesh(job.out, mesh)
    quality = measure(mesh)
    job.metric("faces", quality.faces, "faces")
    job.metric("parts", quality.components, "parts", higher_is_better=False)
    job.metric("floaters_removed", n_removed, "parts")
    job.metric("watertight", float(quality.watertight), "yes/no", higher_is_better=True)
    job.progress(2, 2, text=f"{quality.faces:,} faces")


def warn_of_cut(job: Job, surface: Mesh, field: RadianceField, resolution: int) -> None:
    """Say how much of a place's surface the unit box cuts off; an object lies in its box."""
    if not getattr(field.config, "contracted", False):
        return
    bound = field.config.bound
    cut = cut_share(surface, bound, 2 * bound / (resolution - 1))
    job.metric("cut_at_box", cut, "of the surface", n=len(surface.faces), higher_is_better=False)
    if cut > MOST_CUT:
        text = (
            f"warning: the unit box cuts this mesh: {cut:.0%} of its surface is where it was cut, and what is outside "
            "is missing; a larger scene_preparation.margin (1.5 in place of 1, say) puts more of the place into the box"
        )
        job.progress(3, STEPS, text=text)


def image_target(job: Job, params: Params, field: RadianceField, grid: Tensor) -> list[SilhouetteTarget]:
    """The outline of the input picture from its camera; nothing where there is no picture."""
    if "image" not in job.inputs:
        return []
    picture = load_object_image(job.inputs["image"])
    cameras = picture.viewpoint.cameras(PICTURE_SIZE)
    _, mask = picture.premultiplied(PICTURE_SIZE)
    seen = replace(march_silhouettes(field, grid, cameras), opacity=mask.flatten().to(grid))
    return [SilhouetteTarget(cameras, seen, params.image_weight)]


def with_missing_parts(job: Job, solid: np.ndarray, bound: float, threshold: float) -> np.ndarray:
    """The grid with the parts that the input picture shows and the grid has not."""
    picture = load_object_image(job.inputs["image"])
    _, mask = picture.premultiplied(PICTURE_SIZE)
    cameras = picture.viewpoint.cameras(PICTURE_SIZE)
    return fill_missing_parts(torch.from_numpy(solid), bound, threshold, cameras, mask).numpy()


def silhouette_iou(mesh: Mesh, target: SilhouetteTarget) -> float:
    """Overlap of the finished mesh's outlines with those that it should have."""
    origins, directions = (values.reshape(-1, 3).cpu().numpy() for values in rays(target.cameras))
    met, opaque = Raycaster(mesh).cast(origins, directions).mask, target.seen.opaque.cpu().numpy()
    return float((met & opaque).sum() / (met | opaque).sum())
