"""The body of view_sampling: draw novel views, and set them beside the feature transformer's."""

import torch

from prior3d.diffusion.networks import dtype_of
from prior3d.diffusion.views import load_views
from prior3d.images.files import contact_sheet, write_png
from prior3d.seeds import Seeds
from stages.artifacts.input_views import load_input_views
from stages.artifacts.view_features import load_view_features
from stages.contract.job import Job
from stages.view_sampling import Params


def run(job: Job, params: Params) -> None:
    """Draw, and set the images side by side."""
    prior = load_views(job.prior(), job.device, dtype_of(params.precision))
    predicted = load_view_features(job.inputs["features"], job.device).predicted
    inputs = load_input_views(job.inputs["views"], job.device).resized(prior.image_size)
    n = min(params.n_views, predicted.cameras.views)
    chosen = torch.arange(n) * predicted.cameras.views // n
    job.progress(0, 1, text=f"{n} draws of {params.num_inference_steps} steps")
    drawn = prior.draw(
        predicted.features[chosen],
        guidance_scale=params.guidance_scale,
        num_inference_steps=params.num_inference_steps,
        generator=Seeds(params.seed).generator("noise"),
    )
    regression = predicted.over_background()[chosen]
    rows = [list(part.movedim(1, -1).cpu().numpy()) for part in (inputs.over(predicted.level), regression, drawn)]
    write_png(job.out / "samples.png", contact_sheet(rows))
    (job.out / "samples").mkdir()
    for number, image in enumerate(rows[2]):
        write_png(job.out / "samples" / f"{number:03d}.png", image)
    job.metric("draws_from_regression", float((drawn - regression).abs().mean()), "of colour range", n=n)
    job.progress(1, 1, preview=job.out / "samples.png", text=f"{n} novel views")
