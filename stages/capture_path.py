"""A fitted scene seen along its capture's path: a video and a sheet of pictures, before and after an edit if any."""

from typing import TYPE_CHECKING

from pydantic import Field

from stages import artifacts
from stages.entry import Job, StageParams, main
from stages.posed_images import PosedImages
from stages.scene_fit import scene_field

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from prior3d.cameras import Cameras
    from prior3d.fields.scene_field import SceneField
    from prior3d.scenes.posed import PosedViews

SHEET = 6


class Params(StageParams):
    """What the stage can be told."""

    frames: int = Field(48, ge=2, le=2000, description="frames of the video", json_schema_extra={"unit": "frames"})
    longest_side: int = Field(
        256, ge=16, le=2048, description="of the video, at most the pictures' own", json_schema_extra={"unit": "pixels"}
    )
    segments: int = Field(64, ge=8, le=1024, description="coarse pieces of a ray")
    background: float = Field(1.0, ge=0, le=1, description="grey level behind an object")
    frames_per_second: int = Field(12, ge=1, le=60, description="of the video")


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"frames": 240, "longest_side": 512, "segments": 160}}
INPUTS = {"field": artifacts.Field, "images": PosedImages, "before": artifacts.Field}
OPTIONAL_INPUTS = frozenset({"before"})
OUTPUT = artifacts.PathPictures


def run(job: Job, params: Params) -> None:
    """Render the path, with the earlier field beside it if there is one."""
    from prior3d.images import contact_sheet, write_png, write_video

    fields = [scene_field(job, name) for name in ("before", "field") if name in job.inputs]
    views = PosedImages.load(job.inputs["images"])
    cameras = path(views, params)
    rows: list[list[np.ndarray]] = [[] for _ in fields]
    chosen = {frame * params.frames // SHEET for frame in range(SHEET)}

    def frames() -> "Iterator[np.ndarray]":
        import numpy as np

        for frame in range(cameras.views):
            pictures = [picture(field, cameras[frame], params) for field in fields]
            if frame in chosen:
                for row, shown in zip(rows, pictures, strict=True):
                    row.append(shown)
            job.progress(frame + 1, cameras.views, text="the capture's path")
            yield np.concatenate(pictures, axis=1)

    write_video(job.out / "path.mp4", frames(), (cameras.height, cameras.width * len(fields)), params.frames_per_second)
    write_png(job.out / "path.png", contact_sheet(rows))
    write_png(job.out / "preview.png", contact_sheet([[row[0] for row in rows]]))
    job.metric("frames", cameras.views, "frames")


def path(views: "PosedViews", params: Params) -> "Cameras":
    """Cameras evenly spread over the capture's order, between neighbours half way: positions and axes interpolated."""
    import torch

    from prior3d.cameras import Cameras

    given = views.cameras
    factor = min(1.0, params.longest_side / max(given.height, given.width))
    height, width = (max(2, round(side * factor / 2) * 2) for side in (given.height, given.width))  # H.264: even sides
    place = torch.linspace(0, given.views - 1, params.frames)
    low = place.floor().long().clamp(max=max(0, given.views - 2))
    share = (place - low)[:, None, None]
    high = (low + 1).clamp(max=given.views - 1)
    c2w = given.c2w[low] * (1 - share) + given.c2w[high] * share
    u, _, v = torch.linalg.svd(c2w[:, :3, :3])
    c2w[:, :3, :3] = u @ v
    fov_deg = given.fov_deg[low] * (1 - share[:, 0, 0]) + given.fov_deg[high] * share[:, 0, 0]
    return Cameras(c2w, fov_deg, height, width)


def picture(field: "SceneField", camera: "Cameras", params: Params) -> "np.ndarray":
    """[height, width, 3] what one camera sees."""
    from prior3d.rendering.scene import occupied_cells, render_scene_view

    cameras = camera.to(field.rows.device)
    seen, _, _ = render_scene_view(field, cameras, params.segments, occupied_cells(field), params.background)
    return seen[0].clamp(0, 1).cpu().numpy()


if __name__ == "__main__":
    main("stages.capture_path")
