"""The body of texture_projection; the package says what it takes, gives and is set by."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from prior3d.cameras import Cameras, orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.images.files import contact_sheet, write_png
from prior3d.images.object_image import ObjectImage
from prior3d.meshes.painting import Surface
from prior3d.meshes.projection import (
    MIRRORED,
    PROJECTED,
    UNKNOWN,
    PartialTexture,
    SurfaceTexels,
    dilate_charts,
    distance_map,
    erode,
    nearest_known,
    off_depth_edges,
    project_image,
    surface_texels,
    texel_visibility,
)
from prior3d.metrics import mask_iou
from prior3d.reconstruction.mirrored_image import LEFT_AND_RIGHT
from stages.artifacts.images import load_object_image
from stages.artifacts.meshes import load_base_texture, load_paintable_mesh
from stages.artifacts.textures import save_partial_texture
from stages.contract.job import Job
from stages.texture_projection import Params

STEPS = 3
LEAST_IOU = 0.85


def run(job: Job, params: Params) -> None:
    """Project (Make-It-3D, section 3.3)."""
    mesh = load_paintable_mesh(job.inputs["mesh"])
    image = load_object_image(job.inputs["image"])
    surface, points = Surface(mesh, job.device), surface_texels(mesh, params.resolution, job.device)
    camera = image.viewpoint.cameras(image.size).to(job.device)
    notes = agreement(job, surface, image, camera)
    job.progress(1, STEPS, text="projecting")
    colours, confidence = projected(surface, points, image, camera, params)
    known = confidence > 0
    if not known.any():
        raise Prior3dError(
            f"{job.name}: the image shows no texel of the mesh ({'; '.join(notes) or 'none is seen squarely'}); "
            "check --camera, and how the mesh stands (up, front, radius of mesh_preparation)"
        )
    source = torch.where(known, PROJECTED, UNKNOWN).to(torch.uint8)
    if params.mirror_confidence > 0:
        mirror_colours, mirror_confidence, mirror_notes = mirrored(job, surface, points, image, params)
        added = ~known & (mirror_confidence > 0)
        colours = mirror_colours.where(added[:, None], colours)
        confidence = mirror_confidence.where(added, confidence)
        source = torch.where(added, MIRRORED, source).to(torch.uint8)
        job.metric("mirrored", added.float().mean().item(), "of texels", n=len(added))
        notes += mirror_notes
    paint = complete(points, colours, confidence, source, load_base_texture(job.inputs["mesh"], params.resolution))
    job.progress(2, STEPS, text="rendering the preview")
    save_partial_texture(job.out, paint)
    job.metric("projected", (source == PROJECTED).float().mean().item(), "of texels", n=len(source))
    write_png(job.out / "preview.png", preview(surface, points, paint, image))
    text = f"{(confidence > 0).float().mean():.0%} of the texels"
    job.progress(STEPS, STEPS, preview=job.out / "preview.png", text="; ".join([text, *notes]))


def projected(
    surface: Surface, points: SurfaceTexels, image: ObjectImage, camera: Cameras, params: Params
) -> tuple[Tensor, Tensor]:
    """Colours [n, 3] that the image shows at the texels, and their confidence [n]."""
    rgba = torch.from_numpy(image.rgba).to(surface.device)
    trust = erode(rgba[..., 3], params.erosion) * off_depth_edges(surface, camera)
    visibility = texel_visibility(surface, points, camera)
    return project_image(rgba[..., :3].movedim(-1, 0), trust, visibility, params.view_angle_exponent)


def mirrored(
    job: Job, surface: Surface, points: SurfaceTexels, image: ObjectImage, params: Params
) -> tuple[Tensor, Tensor, list[str]]:
    """The same of the mirrored image, and notes; no confidence if outlines overlap by less than `LEAST_IOU`."""
    flipped = replace(image, rgba=np.ascontiguousarray(image.rgba[:, ::-1]))
    camera = LEFT_AND_RIGHT.mirrored(image.viewpoint.cameras(image.size)).to(surface.device)
    outline = distance_map(surface, camera).isfinite().float().cpu().numpy()
    iou = mask_iou(outline, flipped.mask)
    job.metric("mirrored_mask_iou", iou, "", n=outline.size, higher_is_better=True)
    colours, confidence = projected(surface, points, flipped, camera, params)
    notes = [] if iou >= LEAST_IOU else [f"the mirror image is left out: outlines overlap by {iou:.0%}"]
    return colours, confidence * params.mirror_confidence * (iou >= LEAST_IOU), notes


def complete(
    points: SurfaceTexels, colours: Tensor, confidence: Tensor, source: Tensor, base: Tensor | None
) -> PartialTexture:
    """The texture; texels without confidence take the mesh's own colours, or the nearest known ones.

    They count as unknown, but a refinement may start from their colours.
    """
    known = confidence > 0
    others = nearest_known(points.positions, colours, known) if base is None else points.from_texture(base.to(colours))
    colours = colours.where(known[:, None], others)
    return PartialTexture(
        dilate_charts(points.to_texture(colours), points), points.to_texture(confidence), points.to_texture(source)
    )


def agreement(job: Job, surface: Surface, image: ObjectImage, camera: Cameras) -> list[str]:
    """Record how well the mesh's outline matches the image's; return a note if it does not."""
    outline = distance_map(surface, camera).isfinite().float().cpu().numpy()
    iou = mask_iou(outline, image.mask)
    job.metric("mask_iou", iou, "", n=outline.size, higher_is_better=True)
    if iou >= LEAST_IOU:
        return []
    view = image.viewpoint
    note = (
        f"the mesh's outline overlaps the image's by {iou:.0%} only, from azimuth {view.azimuth_deg:.0f}, "
        f"elevation {view.elevation_deg:.0f}, field of view {view.fov_deg:.0f}; check --camera, and how the mesh stands"
    )
    print(f"{job.name}: {note}", flush=True)  # noqa: T201
    (job.out / "notes.txt").write_text(note + "\n", encoding="utf-8")
    return [note]


def preview(
    surface: Surface, points: SurfaceTexels, paint: PartialTexture, image: ObjectImage, size: int = 128
) -> np.ndarray:
    """The image, and the mesh with the known part of its texture, from the image's camera, both sides and behind.

    Unknown texels are grey.
    """
    view = image.viewpoint
    cameras = orbit_cameras(ring(4, view.elevation_deg, view.radius, view.fov_deg, view.azimuth_deg), size, size)
    weights = surface.texel_weights(cameras.to(surface.device), points.resolution, 2)
    known_colours = paint.colours.where((paint.confidence > 0)[..., None], 0.5)
    background = 0.85 * (1 - weights.coverage[..., None])
    renders = (weights.render(dilate_charts(known_colours, points)) + background).clamp(0, 1).cpu().numpy()
    return contact_sheet([[image.over(0.85, size).movedim(0, -1).numpy(), *renders]])
