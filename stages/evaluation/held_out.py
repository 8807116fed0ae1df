"""How a result looks from the cameras of images that nothing was made from."""

import numpy as np

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.fields.protocol import RadianceField
from prior3d.images.files import contact_sheet, write_png
from prior3d.meshes.mesh import TexturedMesh
from prior3d.meshes.raster import render_mesh
from prior3d.metrics import psnr_db, ssim
from prior3d.rendering.background import load_background, render_images
from stages.artifacts.capture import HELD_OUT, load_posed_images
from stages.contract.job import Job

LEVEL = 1.0  # of the background that objects with masks are compared on
SHOWN = 8  # columns of the sheet


def measure_held_out(job: Job, field: RadianceField | None, mesh: TexturedMesh, n_samples: int) -> None:
    """Record PSNR and SSIM of field and mesh on held-out images, if there are any, and write `held_out.png`.

    Objects with masks are compared on white, field and mesh. Of whole images only the field has what lies behind.
    """
    folder = job.inputs["views"] / HELD_OUT
    if not (folder / "transforms.json").is_file():
        return
    views = load_posed_images(folder)
    masked = views.mask_meaning == "object"
    target = np.stack([views.over(view, LEVEL).movedim(0, -1).numpy() for view in range(views.views)])
    counts = np.stack([views.mask(view).numpy() > 0 for view in range(views.views)])[..., None] | masked
    if not counts.any():
        raise Prior3dError(f"{folder}: the masks of its {views.views} images are black: there is nothing to compare")
    found = held_out_images(job, field, mesh if masked else None, views.cameras, n_samples)
    for what, images in found.items():
        compared = np.where(counts, images, target)
        pairs = list(zip(compared, target, strict=True))
        for name, of, unit in (("psnr", psnr_db, "dB"), ("ssim", ssim, "")):
            value = sum(of(a, b) for a, b in pairs) / len(pairs)
            job.metric(f"held_out_{what}_{name}", value, unit, n=len(pairs), higher_is_better=True)
    columns = range(0, len(target), -(-len(target) // SHOWN))
    rows = [[images[view] for view in columns] for images in (target, *found.values())]
    write_png(job.out / "held_out.png", contact_sheet(rows))


def held_out_images(
    job: Job, field: RadianceField | None, mesh: TexturedMesh | None, cameras: Cameras, n_samples: int
) -> dict[str, np.ndarray]:
    """What field and mesh show there: [views, height, width, 3]."""
    found = {}
    if field is not None:
        background = load_background(job.inputs["field"])
        behind = LEVEL if background is None else background.to(job.device)
        images, _ = render_images(field, cameras.to(job.device), n_samples, behind)
        found["field"] = images.movedim(1, -1).cpu().numpy()
    if mesh is not None:
        found["mesh"] = render_mesh(mesh, cameras, background=LEVEL).rgb
    return found
