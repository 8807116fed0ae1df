"""The body of evaluation; the package says what it takes, gives and is set by."""

import json
import os

import numpy as np
import torch

from prior3d.cameras import Cameras, orbit_cameras, ring, to_nerfstudio
from prior3d.images.files import contact_sheet, write_png
from prior3d.images.files import write_video as encode
from prior3d.meshes.consistency import photo_inconsistency
from prior3d.meshes.mesh import TexturedMesh
from prior3d.meshes.mesh import measure as measure_mesh
from prior3d.meshes.raster import MeshImages, MeshRenderer, render_mesh
from prior3d.meshes.winding import volume_iou
from prior3d.metrics import mask_iou, psnr_db
from prior3d.rendering import render_without_gradient
from stages.artifacts.base import load_metrics, read_json
from stages.artifacts.fields import load_drawn, load_rgb_field
from stages.artifacts.images import load_object_image
from stages.artifacts.meshes import load_textured_mesh
from stages.artifacts.shape_guide import load_shape_guide
from stages.contract.job import Job
from stages.contract.yaml_text import read_mapping
from stages.evaluation import Params
from stages.evaluation.held_out import measure_held_out
from stages.evaluation.report import report

# What earlier stages show of their work, by the name of this stage's input: a line below each image of the report.
SHOWN_OF_INPUTS = {
    "image": "The given image as it was cut out, and its mask.",
    "drawn": "The images that the field was fitted to: given ones first, then those that the prior drew.",
}


def run(job: Job, params: Params) -> None:
    """Draw, measure, and write the page."""
    mesh = load_textured_mesh(job.inputs["mesh"])
    total = params.n_azimuths + params.video_frames
    cameras = turntable(params, params.n_azimuths, params.size)
    drawn = render_mesh(mesh, cameras, background=params.background)
    if "field" in job.inputs:
        field_rgb, field_mask = field_pictures(job, params, cameras, total)
        sheets(job, drawn, field_rgb)
        measure_against_field(job, mesh, cameras, field_rgb, field_mask, drawn)
    else:
        sheets(job, drawn)
    if "shape" in job.inputs:
        measure_against_shape(job, mesh)
    if "views" in job.inputs:
        measure_held_out(
            job,
            load_rgb_field(job.inputs["field"], job.device) if "field" in job.inputs else None,
            mesh,
            params.n_samples,
        )
    if "image" in job.inputs:
        measure_against_image(job, mesh)
    (job.out / "rig.json").write_text(rig(cameras))
    write_video(job, params, mesh, total)
    measure(job, mesh)
    write_png(job.out / "preview.png", drawn.rgb[0])
    write_page(job)
    job.progress(total, total, preview=job.out / "turntable.png", text="report.html")


def turntable(params: Params, n_views: int, size: int) -> Cameras:
    """Cameras all round."""
    return orbit_cameras(ring(n_views, params.elevation_deg, params.radius, params.fov_deg), size, size)


def field_pictures(job: Job, params: Params, cameras: Cameras, total: int) -> tuple[np.ndarray, np.ndarray]:
    """The field's pictures over the background [views, height, width, 3] and its opacity [views, height, width]."""
    pictures, masks = [], []
    behind = torch.full((3,), params.background, device=job.device)
    drawn = load_drawn(job.inputs["field"], job.device)
    field = load_rgb_field(job.inputs["field"], job.device) if drawn is None else None
    for view in range(cameras.views):
        camera = cameras[view].to(job.device)
        if drawn is not None:
            rgb, opacity = drawn.render_views(camera, behind)
        elif field is not None:
            rgb, opacity, _ = render_without_gradient(field, camera, params.n_samples, behind)
        pictures.append(rgb[0].clamp(0, 1).cpu().numpy())
        masks.append(opacity[0].cpu().numpy())
        job.progress(view + 1, total, text="pictures of the field")
    return np.stack(pictures), np.stack(masks)


def sheets(job: Job, drawn: MeshImages, field_rgb: np.ndarray | None = None) -> None:
    """`turntable.png` (field, if any, above mesh), `mesh_turntable.png` (colours above normals), and `frames/`."""
    mask = drawn.mask[..., None]
    normals = list((drawn.normal * 0.5 + 0.5) * mask + (1 - mask))
    pictures = {"mesh": drawn.rgb} if field_rgb is None else {"field": field_rgb, "mesh": drawn.rgb}
    write_png(job.out / "turntable.png", contact_sheet([list(views) for views in pictures.values()]))
    write_png(job.out / "mesh_turntable.png", contact_sheet([list(drawn.rgb), normals]))
    (job.out / "frames").mkdir()
    for name, views in pictures.items():
        for view, picture in enumerate(views):
            write_png(job.out / "frames" / f"{name}_{view:03d}.png", picture)


def rig(cameras: Cameras) -> str:
    """The cameras of `frames/`, as a nerfstudio transforms.json."""
    return json.dumps(
        to_nerfstudio(cameras, [f"frames/mesh_{view:03d}.png" for view in range(cameras.views)]), indent=1
    )


def write_video(job: Job, params: Params, mesh: TexturedMesh, total: int) -> None:
    """The mesh, once round, as `turntable.mp4`."""
    renderer, cameras = MeshRenderer(mesh), turntable(params, params.video_frames, params.video_size)

    def frames():
        for view in range(cameras.views):
            yield renderer.render(cameras[view], params.background).rgb[0]
            job.progress(params.n_azimuths + view + 1, total, text="video of the mesh")

    encode(job.out / "turntable.mp4", frames(), (params.video_size, params.video_size), frames_per_second=18)


def measure_against_field(
    job: Job,
    mesh: TexturedMesh,
    cameras: Cameras,
    field_rgb: np.ndarray,
    field_mask: np.ndarray,
    drawn: MeshImages,
) -> None:
    """Record how well the mesh shows the field, and how well the field's pictures agree."""
    views = cameras.views
    job.metric("mesh_psnr", psnr_db(field_rgb, drawn.rgb), "dB", n=views, higher_is_better=True)
    job.metric("mesh_mask_iou", mask_iou(field_mask, drawn.mask), "", n=views, higher_is_better=True)
    deviation, n_points = photo_inconsistency(mesh, cameras, field_rgb)
    job.metric("photo_inconsistency", deviation, "of colour range", n=n_points, higher_is_better=False)


def measure_against_shape(job: Job, mesh: TexturedMesh) -> None:
    """Record how much of the rough shape's volume the mesh has."""
    guide = load_shape_guide(job.inputs["shape"])
    iou = volume_iou(mesh, guide)
    job.metric("shape_iou", iou, "", n=guide.grid[..., 0].numel(), higher_is_better=True)


def measure_against_image(job: Job, mesh: TexturedMesh, size: int = 64) -> None:
    """Record how well the mesh shows the given picture from its camera, over white; draw both side by side."""
    picture = load_object_image(job.inputs["image"])
    drawn = render_mesh(mesh, picture.viewpoint.cameras(size), background=1.0).rgb[0]
    given = picture.over(1.0, size).movedim(0, -1).numpy()
    job.metric("mesh_reference_psnr", psnr_db(given, drawn), "dB", higher_is_better=True)
    write_png(job.out / "reference.png", contact_sheet([[given, drawn]]))


def measure(job: Job, mesh: TexturedMesh) -> None:
    """Record what the mesh is made of."""
    quality = measure_mesh(mesh)
    job.metric("faces", quality.faces, "faces")
    job.metric("parts", quality.components, "parts", higher_is_better=False)
    job.metric("watertight", float(quality.watertight), "yes/no", higher_is_better=True)
    job.metric("glb_size", (job.inputs["mesh"] / "mesh.glb").stat().st_size / 1e6, "MB", higher_is_better=False)


def about(job: Job) -> tuple[str, str]:
    """The page's title, and whether the prior knew what the given images show; empty where that was not asked."""
    title, remark, file = job.run_folder.name, "", job.inputs.get("caption")
    if file is not None:
        caption = read_json(file / "caption.json")  # checked before the stage began
        ratio = f"{caption['text']} (error ratio {caption['error_ratio']:.2f})"
        if caption["known"]:
            title, remark = caption["text"], f"The prior knows this thing: {ratio}."
        else:
            tried = f" The best caption was: {ratio}." if caption["text"] else ""
            remark = f"The prior does not know this thing: what the images do not show is a guess.{tried}"
    return (job.prompt if "prompt" in job.inputs else title), remark


def write_page(job: Job) -> None:
    """`report.html`: one file that needs nothing else, but for the links to the mesh beside it."""
    parameters = read_mapping(job.run_folder / "params.yaml")
    order = list(parameters)  # the method's
    upstream = {path.name: path for name, path in job.inputs.items() if name != "prompt"}
    metrics = {
        name: load_metrics(upstream[name])
        for name in sorted(upstream, key=lambda name: order.index(name) if name in order else -1)
        if (upstream[name] / "metrics.json").is_file()
    }
    title, remark = about(job)
    html = report(
        prompt=title,
        folder=job.out,
        metrics=metrics | {job.name: job.metrics},
        parameters=parameters,
        with_field="field" in job.inputs,
        further={
            SHOWN_OF_INPUTS[name]: job.inputs[name] / "preview.png"
            for name in SHOWN_OF_INPUTS
            if name in job.inputs and (job.inputs[name] / "preview.png").is_file()
        },
        remark=remark,
        # The page will lie in RUN/NAME/, one level under the run's folder.
        mesh_link=os.path.relpath(job.inputs["mesh"], job.run_folder / job.name),
    )
    (job.out / "report.html").write_text(html, encoding="utf-8")
