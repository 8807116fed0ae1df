"""A photograph's own pixels on the texels of a mesh that it sees.

Tang et al. 2023 (Make-It-3D), section 3.3, for a mesh instead of a point cloud: a texel takes the colour at its place
in the photograph if nothing is in front of it (a z-buffer), the less surely the more it turns away; pixels at the edge
of the alpha, which hold some background, and those where one part ends in front of another lend no colour. The other
texels keep the colour of the mesh's own texture, or of the nearest texel that is seen, with a confidence of 0.
Of things whose left and right are alike (`mirror_confidence`) the other side takes the mirrored photograph's pixels, if
the mesh's outline from the mirrored camera is that of the mirrored photograph.

The mesh must stand in the world as the photograph's camera sees it. `mask_iou` tells how far their outlines agree.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from prior3d.errors import Prior3dError
from stages import image_artifacts, paint_artifacts
from stages.entry import Job, StageParams, main

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from prior3d.cameras import Cameras
    from prior3d.meshes.painting import Surface
    from prior3d.meshes.projection import PartialTexture, SurfaceTexels
    from prior3d.object_image import ObjectImage

STEPS = 3
LEAST_IOU = 0.85


class Params(StageParams):
    """What the stage can be told."""

    resolution: int = Field(
        256, ge=16, le=4096, description="side of the texture", json_schema_extra={"unit": "texels"}
    )
    erosion: int = Field(
        1,
        ge=0,
        le=64,
        description="how far inside its outline the photograph begins to count",
        json_schema_extra={"unit": "pixels"},
    )
    squareness: float = Field(
        1.0, ge=0, le=10, description="power of the cosine to the surface's normal that weighs a pixel"
    )
    mirror_confidence: float = Field(
        0.0, ge=0, le=1, description="of the mirrored photograph's pixels on the other side, beside its own; 0: none"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"resolution": 1024, "erosion": 4}}
INPUTS = {"mesh": paint_artifacts.PaintableMesh, "image": image_artifacts.ObjectImage}
OUTPUT = paint_artifacts.PartialTexture


def run(job: Job, params: Params) -> None:
    """Project."""
    import torch

    from prior3d.images import write_png
    from prior3d.meshes.painting import Surface
    from prior3d.meshes.projection import (
        MIRRORED,
        PROJECTED,
        UNKNOWN,
        PartialTexture,
        grown,
        nearest_known,
        surface_texels,
    )

    mesh = paint_artifacts.PaintableMesh.load(job.inputs["mesh"])
    image = image_artifacts.ObjectImage.load(job.inputs["image"])
    surface, points = Surface(mesh, job.device), surface_texels(mesh, params.resolution, job.device)
    camera = image.viewpoint.cameras(image.size).to(job.device)
    notes = agreement(job, surface, image, camera)
    job.progress(1, STEPS, text="projecting")
    colours, confidence = projected(surface, points, image, camera, params)
    known = confidence > 0
    if not known.any():
        raise Prior3dError(
            f"{job.name}: the photograph shows no texel of the mesh ({'; '.join(notes) or 'none is seen squarely'}); "
            "check --camera, and how the mesh stands (up, front, radius of mesh_preparation)"
        )
    source = torch.where(known, PROJECTED, UNKNOWN).to(torch.uint8)
    if params.mirror_confidence > 0:
        other, how_sure, iou = mirrored(job, surface, points, image, params)
        if iou < LEAST_IOU:
            notes.append(f"the photograph's mirror image is left out: outlines overlap by {iou:.0%}")
        added = ~known & (how_sure > 0)
        colours, confidence = other.where(added[:, None], colours), how_sure.where(added, confidence)
        source = torch.where(added, MIRRORED, source).to(torch.uint8)
        job.metric("mirrored", added.float().mean().item(), "of texels", n=len(added))
        known = known | added
    guess = paint_artifacts.PaintableMesh.guess(job.inputs["mesh"], params.resolution)
    others = nearest_known(points.positions, colours, known) if guess is None else points.of(guess.to(colours))
    colours = colours.where(known[:, None], others)  # unknown, but not empty: a refinement may begin here
    paint = PartialTexture(grown(points.whole(colours), points), points.whole(confidence), points.whole(source))
    job.progress(2, STEPS, text="looking at it")
    paint_artifacts.PartialTexture.save(job.out, paint)
    job.metric("projected", (source == PROJECTED).float().mean().item(), "of texels", n=len(known))
    write_png(job.out / "preview.png", checks(surface, points, paint, image))
    text = f"{known.float().mean():.0%} of the texels"
    job.progress(STEPS, STEPS, preview=job.out / "preview.png", text="; ".join([text, *notes]))


def projected(
    surface: "Surface", points: "SurfaceTexels", image: "ObjectImage", camera: "Cameras", params: Params
) -> "tuple[Tensor, Tensor]":
    """Colours [n, 3] that the photograph shows at the texels, and their confidence [n]."""
    import torch

    from prior3d.meshes.projection import away_from_edges, eroded, look_at, project_picture

    rgba = torch.from_numpy(image.rgba).to(surface.device)
    trust = eroded(rgba[..., 3], params.erosion) * away_from_edges(surface, camera)
    look = look_at(surface, points, camera)
    return project_picture(rgba[..., :3].movedim(-1, 0), trust, look, params.squareness)


def mirrored(
    job: Job, surface: "Surface", points: "SurfaceTexels", image: "ObjectImage", params: Params
) -> "tuple[Tensor, Tensor, float]":
    """The same of the mirrored photograph, and how far outlines overlap: of no confidence below `LEAST_IOU`."""
    from dataclasses import replace

    import numpy as np

    from prior3d.meshes.projection import distances
    from prior3d.metrics import mask_iou
    from prior3d.mirrored_picture import LEFT_AND_RIGHT

    flipped = replace(image, rgba=np.ascontiguousarray(image.rgba[:, ::-1]))
    camera = LEFT_AND_RIGHT.mirrored(image.viewpoint.cameras(image.size)).to(surface.device)
    outline = distances(surface, camera).isfinite().float().cpu().numpy()
    iou = mask_iou(outline, flipped.mask)
    job.metric("mirrored_mask_iou", iou, "", n=outline.size, higher_is_better=True)
    colours, confidence = projected(surface, points, flipped, camera, params)
    return colours, confidence * params.mirror_confidence * (iou >= LEAST_IOU), iou


def agreement(job: Job, surface: "Surface", image: "ObjectImage", camera: "Cameras") -> list[str]:
    """Record how far the mesh's outline is the photograph's, and say so if it is not."""
    from prior3d.meshes.projection import distances
    from prior3d.metrics import mask_iou

    outline = distances(surface, camera).isfinite().float().cpu().numpy()
    iou = mask_iou(outline, image.mask)
    job.metric("mask_iou", iou, "", n=outline.size, higher_is_better=True)
    if iou >= LEAST_IOU:
        return []
    view = image.viewpoint
    note = (
        f"the mesh's outline overlaps the photograph's by {iou:.0%} only, from azimuth {view.azimuth_deg:.0f}, "
        f"elevation {view.elevation_deg:.0f}, field of view {view.fov_deg:.0f}; check --camera, and how the mesh stands"
    )
    print(f"{job.name}: {note}", flush=True)  # noqa: T201
    (job.out / "notes.txt").write_text(note + "\n", encoding="utf-8")
    return [note]


def checks(
    surface: "Surface", points: "SurfaceTexels", paint: "PartialTexture", image: "ObjectImage", size: int = 128
) -> "np.ndarray":
    """The photograph, and the mesh with what is known of its texture from there, from both sides and from behind."""
    from prior3d.cameras import orbit_cameras, ring
    from prior3d.images import contact_sheet
    from prior3d.meshes.projection import grown

    view = image.viewpoint
    cameras = orbit_cameras(ring(4, view.elevation_deg, view.radius, view.fov_deg, view.azimuth_deg), size, size)
    seen = surface.footprints(cameras.to(surface.device), points.resolution, 2)
    shown = paint.colours.where((paint.confidence > 0)[..., None], 0.5)
    behind = 0.85 * (1 - seen.coverage[..., None])
    pictures = (seen.paint(grown(shown, points)) + behind).clamp(0, 1).cpu().numpy()
    return contact_sheet([[image.over(0.85, size).movedim(0, -1).numpy(), *pictures]])


if __name__ == "__main__":
    main("stages.texture_projection")
