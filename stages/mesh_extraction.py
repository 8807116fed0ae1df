"""The field's surface as a clean mesh whose outlines are those of the field's own pictures.

Density on a grid -> the threshold whose silhouettes match the rendered opacity -> that threshold varied in space until
they match better, and match the outline of the object's picture where there is one -> floaters and cavities out ->
parts that the picture shows and nothing else does back in -> marching cubes -> smoothing -> decimation. The threshold,
its overlap and the mesh's are reported as metrics.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from stages import artifacts, image_artifacts
from stages.entry import Job, StageParams, main

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from prior3d.fields import Field as RadianceField
    from prior3d.meshes.mesh import Mesh
    from prior3d.meshes.outline_fit import Sight

STEPS = 6
PICTURE_SIZE = 64  # pixels of a side at which a picture's outline is compared


class Params(StageParams):
    """What the stage can be told."""

    resolution: int = Field(
        96, ge=16, le=512, description="nodes of the density grid along an axis", json_schema_extra={"unit": "nodes"}
    )
    threshold: float | None = Field(
        None,
        gt=0,
        description="density that is the surface; none: chosen so that outlines match the renders",
        json_schema_extra={"unit": "1 / world unit"},
    )
    outline_steps: int = Field(
        80,
        ge=0,
        le=10_000,
        description="steps in which the threshold is varied in space to fit outlines; 0 leaves one everywhere",
        json_schema_extra={"unit": "steps"},
    )
    picture_weight: float = Field(
        4.0, ge=0, le=1000, description="with a picture: weight of a ray of its outline beside those all round"
    )
    missing_parts: bool = Field(
        True, description="with a picture: raise parts that it shows and the surface has not, at their outline's depth"
    )
    smoothing: float = Field(
        1.2, ge=0, le=5, description="Gaussian over the density grid", json_schema_extra={"unit": "cells"}
    )
    min_part: float = Field(
        0.03, ge=0, le=1, description="parts smaller than this share of the largest are removed as floaters"
    )
    smoothing_steps: int = Field(
        8, ge=0, le=200, description="Taubin smoothing of the vertices", json_schema_extra={"unit": "steps"}
    )
    max_faces: int = Field(10_000, ge=100, le=2_000_000, description="the mesh is decimated to this many faces")
    n_azimuths: int = Field(
        8, ge=3, le=64, description="cameras round the object, at two heights each, to compare with"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"resolution": 256, "max_faces": 60_000}}
INPUTS = {"field": artifacts.Field, "image": image_artifacts.ObjectImage}
OPTIONAL_INPUTS = frozenset({"image"})
OUTPUT = artifacts.Mesh


def run(job: Job, params: Params) -> None:
    """Extract the mesh."""
    from prior3d.meshes.extraction import density_grid, isosurface, keep_solid_parts, simplify
    from prior3d.meshes.mesh import measure
    from prior3d.meshes.outline_fit import Sight, fit_outlines
    from prior3d.meshes.threshold import choose_threshold, judge, outlines, viewing_ring

    field = artifacts.Field.load(job.inputs["field"], job.device)
    job.progress(0, STEPS, text="density grid")
    grid = density_grid(field, params.resolution, params.smoothing)
    job.progress(1, STEPS, text="outlines of the field")
    cameras = viewing_ring(params.n_azimuths)
    seen = outlines(field, grid, cameras)
    chosen = choose_threshold(seen) if params.threshold is None else judge(seen, params.threshold)
    job.progress(2, STEPS, text=f"surface at density {chosen.density:.3g}, fitted to outlines")
    sights = [Sight(cameras, seen), *picture_sight(job, params, field, grid)]
    grid = fit_outlines(grid, field.config.bound, chosen.density, sights, params.outline_steps)
    job.progress(3, STEPS, text="floaters and cavities")
    solid, n_removed = keep_solid_parts(grid.cpu().numpy(), chosen.density, params.min_part)
    if "image" in job.inputs and params.missing_parts:
        solid = with_missing_parts(job, solid, field.config.bound, chosen.density)
    surface = isosurface(solid, chosen.density, field.config.bound)
    job.progress(4, STEPS, text=f"smoothing and decimating {len(surface.faces):,} faces")
    mesh = simplify(surface, params.max_faces, params.smoothing_steps)
    job.progress(5, STEPS, text="checks")
    artifacts.Mesh.save(job.out, mesh)
    quality = measure(mesh)
    job.metric("threshold", chosen.density, "1 / world unit")
    job.metric("depth_error", chosen.depth_error, "world units", n=int(seen.opaque.sum()), higher_is_better=False)
    for name, sight in zip(("silhouette_iou", "picture_iou"), sights, strict=False):
        job.metric(name, silhouette_iou(mesh, sight), "", n=sight.cameras.views, higher_is_better=True)
    job.metric("faces", quality.faces, "faces")
    job.metric("parts", quality.components, "parts", higher_is_better=False)
    job.metric("floaters_removed", n_removed, "parts")
    job.metric("watertight", float(quality.watertight), "", higher_is_better=True)
    job.progress(STEPS, STEPS, text=f"{quality.faces:,} faces")


def picture_sight(job: Job, params: Params, field: "RadianceField", grid: "Tensor") -> "list[Sight]":
    """The outline of the input picture from its camera; nothing where there is no picture."""
    from dataclasses import replace

    from prior3d.meshes.outline_fit import Sight
    from prior3d.meshes.threshold import outlines

    if "image" not in job.inputs:
        return []
    picture = image_artifacts.ObjectImage.load(job.inputs["image"])
    cameras = picture.viewpoint.cameras(PICTURE_SIZE)
    _, mask = picture.premultiplied(PICTURE_SIZE)
    seen = replace(outlines(field, grid, cameras), opacity=mask.flatten().to(grid))
    return [Sight(cameras, seen, params.picture_weight)]


def with_missing_parts(job: Job, solid: "np.ndarray", bound: float, threshold: float) -> "np.ndarray":
    """The grid with the parts that the input picture shows and the grid has not."""
    import torch

    from prior3d.meshes.missing_parts import raise_missing_parts

    picture = image_artifacts.ObjectImage.load(job.inputs["image"])
    _, mask = picture.premultiplied(PICTURE_SIZE)
    cameras = picture.viewpoint.cameras(PICTURE_SIZE)
    return raise_missing_parts(torch.from_numpy(solid), bound, threshold, cameras, mask).numpy()


def silhouette_iou(mesh: "Mesh", sight: "Sight") -> float:
    """Overlap of the finished mesh's outlines with those that it should have."""
    from prior3d.meshes.raster import Caster
    from prior3d.rendering.rays import rays

    origins, directions = (values.reshape(-1, 3).cpu().numpy() for values in rays(sight.cameras))
    met, opaque = Caster(mesh).cast(origins, directions).mask, sight.seen.opaque.cpu().numpy()
    return float((met & opaque).sum() / (met | opaque).sum())


if __name__ == "__main__":
    main("stages.mesh_extraction")
