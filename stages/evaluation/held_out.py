"""How a result looks from the cameras of pictures that nothing was made from."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prior3d.fields import RadianceField
from prior3d.images.files import contact_sheet, write_png
from prior3d.meshes.mesh import TexturedMesh
from prior3d.meshes.raster import render_mesh
from prior3d.metrics import psnr_db, ssim
from prior3d.reconstruction.sparse_fit import Surroundings, rendered
from stages.artifacts.views import HELD_OUT, InputViews
from stages.contract.job import Job

SURROUNDINGS = "surroundings.json"  # beside a field that was fitted to pictures without masks
LEVEL = 1.0  # of the background that objects with masks are compared on
SHOWN = 8  # columns of the sheet


def save_surroundings(folder: Path, coefficients: Tensor) -> None:
    """Keep what lies behind a field."""
    (folder / SURROUNDINGS).write_text(json.dumps(coefficients.tolist()) + "\n", encoding="utf-8")


def measure_held_out(job: Job, field: RadianceField | None, mesh: TexturedMesh, n_samples: int) -> None:
    """Record PSNR and SSIM of field and mesh on held-out pictures, if there are any, and write `held_out.png`.

    Objects with masks are compared on white, field and mesh. Of whole pictures only the field has what is behind.
    """
    folder = job.inputs["views"] / HELD_OUT
    if not (folder / "transforms.json").is_file():
        return
    views = InputViews.load(folder, job.device)
    truth = views.colours if views.masks is None else views.colours + (1 - views.masks[:, None]) * LEVEL
    wanted = truth.movedim(1, -1).cpu().numpy()
    made = pictures(job, field, mesh, views, n_samples)
    counts = (views.weights > 0).cpu().numpy()[..., None]
    for what, images in made.items():
        compared = np.where(counts, images, wanted)
        pairs = list(zip(compared, wanted, strict=True))
        for name, of, unit in (("psnr", psnr_db, "dB"), ("ssim", ssim, "")):
            value = sum(of(a, b) for a, b in pairs) / len(pairs)
            job.metric(f"held_out_{what}_{name}", value, unit, n=len(pairs), higher_is_better=True)
    every = range(0, len(wanted), -(-len(wanted) // SHOWN))
    rows = [[images[view] for view in every] for images in (wanted, *made.values())]
    write_png(job.out / "held_out.png", contact_sheet(rows))


def pictures(
    job: Job, field: RadianceField | None, mesh: TexturedMesh, views: InputViews, n_samples: int
) -> dict[str, np.ndarray]:
    """What field and mesh show there: [views, height, width, 3]."""
    made = {}
    if field is not None:
        surroundings, kept = None, job.inputs["field"] / SURROUNDINGS
        if kept.is_file():
            surroundings = Surroundings().to(job.device)
            surroundings.coefficients.data.copy_(torch.tensor(json.loads(kept.read_text(encoding="utf-8"))))
        made["field"] = rendered(field, views.cameras, n_samples, LEVEL, surroundings)[0].movedim(1, -1).cpu().numpy()
    if views.masks is not None:
        made["mesh"] = render_mesh(mesh, views.cameras.to("cpu"), background=LEVEL).rgb
    return made
