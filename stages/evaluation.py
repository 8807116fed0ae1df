"""Pictures and numbers of a result, all round, on one page: the textured mesh, beside the field it came from if any."""

import os
from typing import TYPE_CHECKING

import yaml
from pydantic import Field

from stages import artifacts, image_artifacts, mesh_artifacts
from stages.entry import Job, StageParams, main
from stages.held_out import measure_held_out
from stages.posed_images import PosedImages
from stages.texture_baking import rgb_field

if TYPE_CHECKING:
    import numpy as np

    from prior3d.cameras import Cameras
    from prior3d.meshes.mesh import TexturedMesh
    from prior3d.meshes.raster import Pictures


class Params(StageParams):
    """What the stage can be told."""

    n_azimuths: int = Field(8, ge=2, le=36, description="views of the contact sheet, evenly round the object")
    size: int = Field(128, ge=16, le=1024, description="side of those views", json_schema_extra={"unit": "pixels"})
    n_samples: int = Field(64, ge=8, le=1024, description="samples along a ray", json_schema_extra={"unit": "samples"})
    elevation_deg: float = Field(
        15, ge=-80, le=80, description="height of the cameras", json_schema_extra={"unit": "degrees"}
    )
    radius: float = Field(
        3.2, gt=1, le=10, description="distance of the cameras", json_schema_extra={"unit": "world units"}
    )
    fov_deg: float = Field(
        40, ge=5, le=120, description="vertical field of view", json_schema_extra={"unit": "degrees"}
    )
    video_frames: int = Field(
        36, ge=2, le=480, description="frames of the turntable", json_schema_extra={"unit": "frames"}
    )
    video_size: int = Field(
        256, ge=16, le=2048, multiple_of=2, description="side of the video", json_schema_extra={"unit": "pixels"}
    )
    background: float = Field(
        0.75, ge=0, le=1, description="grey level behind the pictures; objects are more often white or black than grey"
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"size": 256, "n_samples": 192, "video_frames": 100, "video_size": 512}}
INPUTS = {
    "mesh": artifacts.TexturedMesh,
    "field": artifacts.Field,
    "prompt": artifacts.Prompt,
    "shape": mesh_artifacts.ShapeGuide,
    "image": image_artifacts.ObjectImage,
    "views": PosedImages,
}
OPTIONAL_INPUTS = frozenset({"field", "prompt", "shape", "image", "views"})
OUTPUT = artifacts.Renders


def run(job: Job, params: Params) -> None:
    """Draw, measure, and write the page."""
    from prior3d.images import write_png
    from prior3d.meshes.raster import render_mesh

    mesh = artifacts.TexturedMesh.load(job.inputs["mesh"])
    total = params.n_azimuths + params.video_frames
    cameras = turntable(params, params.n_azimuths, params.size)
    drawn = render_mesh(mesh, cameras, background=params.background)
    if "field" in job.inputs:
        field_rgb, field_mask = field_pictures(job, params, rgb_field(job), cameras, total)
        sheets(job, drawn, field_rgb)
        measure_against_field(job, mesh, cameras, field_rgb, field_mask, drawn)
    else:
        sheets(job, drawn)
    if "shape" in job.inputs:
        measure_against_shape(job, mesh)
    if "views" in job.inputs:
        measure_held_out(job, rgb_field(job) if "field" in job.inputs else None, mesh, params.n_samples)
    if "image" in job.inputs:
        measure_against_image(job, mesh)
    (job.out / "rig.json").write_text(rig(cameras))
    write_video(job, params, mesh, total)
    measure(job, mesh)
    write_png(job.out / "preview.png", drawn.rgb[0])
    write_page(job)
    job.progress(total, total, preview=job.out / "turntable.png", text="report.html")


def turntable(params: Params, n_views: int, size: int) -> "Cameras":
    """Cameras all round."""
    from prior3d.cameras import orbit_cameras, ring

    return orbit_cameras(ring(n_views, params.elevation_deg, params.radius, params.fov_deg), size, size)


def field_pictures(job: Job, params: Params, field, cameras: "Cameras", total: int) -> "tuple[np.ndarray, np.ndarray]":
    """The field's pictures over the background [views, height, width, 3] and its opacity [views, height, width]."""
    import numpy as np
    import torch

    from prior3d.rendering import render_without_gradient

    pictures, masks = [], []
    behind = torch.full((3,), params.background, device=job.device)
    for view in range(cameras.views):
        rgb, opacity, _ = render_without_gradient(field, cameras[view].to(job.device), params.n_samples, behind)
        pictures.append(rgb[0].clamp(0, 1).cpu().numpy())
        masks.append(opacity[0].cpu().numpy())
        job.progress(view + 1, total, text="pictures of the field")
    return np.stack(pictures), np.stack(masks)


def sheets(job: Job, drawn: "Pictures", field_rgb: "np.ndarray | None" = None) -> None:
    """`turntable.png` (field, if any, above mesh), `mesh_turntable.png` (colours above normals), and `frames/`."""
    from prior3d.images import contact_sheet, write_png

    mask = drawn.mask[..., None]
    normals = list((drawn.normal * 0.5 + 0.5) * mask + (1 - mask))
    pictures = {"mesh": drawn.rgb} if field_rgb is None else {"field": field_rgb, "mesh": drawn.rgb}
    write_png(job.out / "turntable.png", contact_sheet([list(views) for views in pictures.values()]))
    write_png(job.out / "mesh_turntable.png", contact_sheet([list(drawn.rgb), normals]))
    (job.out / "frames").mkdir()
    for name, views in pictures.items():
        for view, picture in enumerate(views):
            write_png(job.out / "frames" / f"{name}_{view:03d}.png", picture)


def rig(cameras: "Cameras") -> str:
    """The cameras of `frames/`, as a nerfstudio transforms.json."""
    import json

    from prior3d.cameras import to_nerfstudio

    return json.dumps(
        to_nerfstudio(cameras, [f"frames/mesh_{view:03d}.png" for view in range(cameras.views)]), indent=1
    )


def write_video(job: Job, params: Params, mesh: "TexturedMesh", total: int) -> None:
    """The mesh, once round, as `turntable.mp4`."""
    from prior3d.images import write_video as encode
    from prior3d.meshes.raster import Painter

    painter, cameras = Painter(mesh), turntable(params, params.video_frames, params.video_size)

    def frames():
        for view in range(cameras.views):
            yield painter.draw(cameras[view], params.background).rgb[0]
            job.progress(params.n_azimuths + view + 1, total, text="video of the mesh")

    encode(job.out / "turntable.mp4", frames(), (params.video_size, params.video_size), frames_per_second=18)


def measure_against_field(
    job: Job,
    mesh: "TexturedMesh",
    cameras: "Cameras",
    field_rgb: "np.ndarray",
    field_mask: "np.ndarray",
    drawn: "Pictures",
) -> None:
    """Record how well the mesh shows the field, and how well the field's pictures agree."""
    from prior3d.meshes.consistency import photo_inconsistency
    from prior3d.metrics import mask_iou, psnr_db

    views = cameras.views
    job.metric("mesh_psnr", psnr_db(field_rgb, drawn.rgb), "dB", n=views, higher_is_better=True)
    job.metric("mesh_mask_iou", mask_iou(field_mask, drawn.mask), "", n=views, higher_is_better=True)
    deviation, n_points = photo_inconsistency(mesh, cameras, field_rgb)
    job.metric("photo_inconsistency", deviation, "of colour range", n=n_points, higher_is_better=False)


def measure_against_shape(job: Job, mesh: "TexturedMesh") -> None:
    """Record how much of the rough shape's volume the mesh has."""
    from prior3d.shape_guide import volume_iou

    guide = mesh_artifacts.ShapeGuide.load(job.inputs["shape"])
    iou = volume_iou(mesh, guide)
    job.metric("shape_iou", iou, "", n=guide.grid[..., 0].numel(), higher_is_better=True)


def measure_against_image(job: Job, mesh: "TexturedMesh", size: int = 64) -> None:
    """Record how well the mesh shows the given picture from its camera, over white; draw both side by side."""
    from prior3d.images import contact_sheet, write_png
    from prior3d.meshes.raster import render_mesh
    from prior3d.metrics import psnr_db

    picture = image_artifacts.ObjectImage.load(job.inputs["image"])
    drawn = render_mesh(mesh, picture.viewpoint.cameras(size), background=1.0).rgb[0]
    given = picture.over(1.0, size).movedim(0, -1).numpy()
    job.metric("mesh_reference_psnr", psnr_db(given, drawn), "dB", higher_is_better=True)
    write_png(job.out / "reference.png", contact_sheet([[given, drawn]]))


def measure(job: Job, mesh: "TexturedMesh") -> None:
    """Record what the mesh is made of."""
    from prior3d.meshes.mesh import measure as measure_mesh

    quality = measure_mesh(mesh)
    job.metric("faces", quality.faces, "faces")
    job.metric("parts", quality.components, "parts", higher_is_better=False)
    job.metric("watertight", float(quality.watertight), "yes/no", higher_is_better=True)
    job.metric("glb_size", (job.inputs["mesh"] / "mesh.glb").stat().st_size / 1e6, "MB", higher_is_better=False)


def write_page(job: Job) -> None:
    """`report.html`: one file that needs nothing else, but for the links to the mesh beside it."""
    from stages.report_page import page

    parameters = yaml.safe_load((job.run_folder / "params.yaml").read_text(encoding="utf-8"))
    order = list(parameters)  # the method's
    upstream = {path.name: path for name, path in job.inputs.items() if name != "prompt"}
    metrics = {
        name: artifacts.Metrics.load(upstream[name])
        for name in sorted(upstream, key=lambda name: order.index(name) if name in order else -1)
        if (upstream[name] / "metrics.json").is_file()
    }
    html = page(
        prompt=job.prompt if "prompt" in job.inputs else job.run_folder.name,
        folder=job.out,
        metrics=metrics | {job.name: job.metrics},
        parameters=parameters,
        with_field="field" in job.inputs,
        # The page will lie in RUN/NAME/, one level under the run's folder.
        mesh_link=os.path.relpath(job.inputs["mesh"], job.run_folder / job.name),
    )
    (job.out / "report.html").write_text(html, encoding="utf-8")


if __name__ == "__main__":
    main("stages.evaluation")
