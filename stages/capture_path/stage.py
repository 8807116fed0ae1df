"""The body of capture_path; the package says what it takes, gives and is set by."""

from collections.abc import Iterator

import numpy as np
import torch

from prior3d.cameras import Cameras
from prior3d.captures.path import capture_path
from prior3d.captures.posed import PosedViews
from prior3d.fields.protocol import DrawsItself
from prior3d.fields.scene_field import SceneField
from prior3d.images.files import contact_sheet, write_png, write_video
from prior3d.rendering.scene import occupied_cells, render_scene_view
from stages.artifacts.capture import load_posed_images
from stages.artifacts.fields import load_drawn, load_scene_field
from stages.capture_path import Params
from stages.contract.job import Job


def run(job: Job, params: Params) -> None:
    """Render the path, with the earlier field beside it if there is one."""
    folders = [job.inputs[name] for name in ("before", "field") if name in job.inputs]
    fields = [load_drawn(folder, job.device) or load_scene_field(folder, job.device) for folder in folders]
    views = load_posed_images(job.inputs["images"])
    cameras = path(views, params)
    rows: list[list[np.ndarray]] = [[] for _ in fields]
    chosen = {frame * params.frames // params.sheet_frames for frame in range(params.sheet_frames)}

    def frames() -> Iterator[np.ndarray]:
        for frame in range(cameras.views):
            shown = [render_frame(job, field, cameras[frame], params) for field in fields]
            if frame in chosen:
                for row, image in zip(rows, shown, strict=True):
                    row.append(image)
            job.progress(frame + 1, cameras.views, text="the capture's path")
            yield np.concatenate(shown, axis=1)

    write_video(job.out / "path.mp4", frames(), (cameras.height, cameras.width * len(fields)), params.frames_per_second)
    write_png(job.out / "path.png", contact_sheet(rows))
    write_png(job.out / "preview.png", contact_sheet([[row[0] for row in rows]]))
    job.metric("frames", cameras.views, "frames")


def path(views: PosedViews, params: Params) -> Cameras:
    """The capture's own path, or a way round what it looks at, in the video's size."""
    given = views.cameras
    factor = min(1.0, params.longest_side / max(given.height, given.width))
    height, width = (max(2, round(side * factor / 2) * 2) for side in (given.height, given.width))  # H.264: even sides
    return capture_path(given, params.frames).resized(height, width)


def render_frame(job: Job, field: SceneField | DrawsItself, camera: Cameras, params: Params) -> np.ndarray:
    """[height, width, 3] the field as one camera sees it."""
    cameras = camera.to(job.device)
    if not isinstance(field, SceneField):
        behind = torch.full((3,), params.background, device=job.device)
        return field.render_views(cameras, behind)[0][0].clamp(0, 1).cpu().numpy()
    seen, _, _ = render_scene_view(field, cameras, params.n_bins, occupied_cells(field), params.background)
    return seen[0].clamp(0, 1).cpu().numpy()
