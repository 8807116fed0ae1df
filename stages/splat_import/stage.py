"""The body of splat_import; the package says what it takes, gives and is set by."""

import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.images.files import contact_sheet, write_png
from prior3d.splats.field import SplatsField, cameras_around
from prior3d.splats.files import read_splats
from prior3d.splats.model import Splats
from prior3d.splats.placement import into_box, share_inside, with_bound
from stages.artifacts.splats import save_splats
from stages.contract.job import Job
from stages.splat_import import Params

BOUND = 1.0
PREVIEWS = 4
LEAST_SEEN = 0.002  # mean opacity of the previews; less is an empty image


def run(job: Job, params: Params) -> None:
    """Read, place, and look at them."""
    job.progress(0, PREVIEWS + 1, text="reading the file")
    splats, factor = place(read_splats(job.inputs["splats"]), params)
    field = SplatsField(splats.to(job.device), cameras_around(params.image_size).to(job.device))
    look(job, params, field)
    job.metric("splats", splats.config.n_splats, "Gaussians")
    job.metric("sh_degree", splats.config.sh_degree, "")
    job.metric("inside_the_box", share_inside(splats, BOUND), "of Gaussians", n=splats.config.n_splats)
    job.metric("enlarged", factor, "times")
    save_splats(job.out, field)


def place(read: Splats, params: Params) -> tuple[Splats, float]:
    """The splats where the method wants them, and how many times as large they are as in the file."""
    splats = with_bound(read, BOUND, params.extent == "bounded")
    kept = params.placement == "keep" or (params.placement == "auto" and share_inside(splats, BOUND) >= params.inside)
    return (splats, 1.0) if kept else into_box(splats, BOUND, params.inside)


def look(job: Job, params: Params, field: SplatsField) -> None:
    """Write the preview, four images from all sides.

    Raises:
        Prior3dError: they show nothing.
    """
    cameras = orbit_cameras(ring(PREVIEWS, start_deg=30.0), params.preview_size, params.preview_size)
    white, images, seen = torch.ones(3, device=job.device), [], 0.0
    for view in range(PREVIEWS):
        image, opacity = field.render_views(cameras[view].to(job.device), white)
        images.append(image[0].clamp(0, 1).cpu().numpy())
        seen += float(opacity.mean()) / PREVIEWS
        job.progress(view + 1, PREVIEWS + 1, text="looking at the splats")
    if not seen > LEAST_SEEN:
        raise Prior3dError(
            f"{job.name}: cameras round the unit box see nothing of the splats (mean opacity {seen:.4f}); "
            f"set {job.name}.placement=box, or look at the file in another viewer"
        )
    write_png(job.out / "preview.png", contact_sheet([images]))
