"""The body of view_sampling; the package says what it takes, gives and is set by."""

import torch

from prior3d.diffusion.views_loading import load_views
from prior3d.images.files import contact_sheet, write_png
from prior3d.seeds import Seeds
from stages.artifacts.views import InputViews, ViewFeatures
from stages.contract.job import Job
from stages.view_sampling import Params


def run(job: Job, params: Params) -> None:
    """Draw, and set the pictures side by side."""
    prior = load_views(job.prior(), job.device)
    known = ViewFeatures.load(job.inputs["features"], job.device)
    given = InputViews.load(job.inputs["views"], job.device).given(prior.image_size)
    n = min(params.n_views, known.cameras.views)
    chosen = torch.arange(n) * known.cameras.views // n
    job.progress(0, 1, text=f"{n} draws of {params.denoising_steps} steps")
    drawn = prior.draw(
        known.seen.features[chosen],
        guidance_scale=params.guidance_scale,
        num_inference_steps=params.denoising_steps,
        generator=Seeds(params.seed).generator("noise"),
    )
    seen = known.seen.colours[chosen]
    if known.seen.masks is not None:
        seen = seen + (1 - known.seen.masks[chosen][:, None]) * known.level
    rows = [list(part.movedim(1, -1).cpu().numpy()) for part in (given.over(known.level), seen, drawn)]
    write_png(job.out / "samples.png", contact_sheet(rows))
    (job.out / "samples").mkdir()
    for place, picture in enumerate(rows[2]):
        write_png(job.out / "samples" / f"{place:03d}.png", picture)
    job.metric("draws_from_regression", float((drawn - seen).abs().mean()), "of colour range", n=n)
    job.progress(1, 1, preview=job.out / "samples.png", text=f"{n} novel views")
