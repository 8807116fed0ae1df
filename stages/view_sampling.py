"""Novel views drawn from the diffusion model, each by itself, for looking at: nothing later depends on them.

`samples.png` shows, from the top: the inputs, what the feature transformer says of evenly chosen cameras of the ring,
and what the diffusion model draws there. Where draws differ from view to view, the inputs leave doubt.
"""

from pydantic import Field

from stages.artifacts import Prior
from stages.entry import Job, StageParams, main
from stages.posed_images import PosedImages
from stages.view_artifacts import InputViews, Samples, ViewFeatures


class Params(StageParams):
    """What the stage can be told."""

    n_views: int = Field(8, ge=1, le=100, description="cameras of the ring to draw at, evenly chosen")
    denoising_steps: int = Field(20, ge=1, le=1000, description="DDIM steps of a draw")
    guidance_scale: float = Field(1.0, ge=0, le=50, description="classifier-free guidance s; 1 is none")


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"denoising_steps": 50, "n_views": 32}}
INPUTS = {"views": PosedImages, "features": ViewFeatures, "prior": Prior}
OUTPUT = Samples


def run(job: Job, params: Params) -> None:
    """Draw, and set the pictures side by side."""
    import torch

    from prior3d.images import contact_sheet, write_png
    from prior3d.priors.views_loading import load_views
    from prior3d.seeds import Seeds

    prior = load_views(job.prior(), job.device)
    known = ViewFeatures.load(job.inputs["features"], job.device)
    given = InputViews.load(job.inputs["views"], job.device).given(prior.image_size)
    n = min(params.n_views, known.cameras.views)
    chosen = torch.arange(n) * known.cameras.views // n
    job.progress(0, 1, text=f"{n} draws of {params.denoising_steps} steps")
    drawn = prior.draw(
        known.seen.features[chosen],
        guidance_scale=params.guidance_scale,
        n_steps=params.denoising_steps,
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


if __name__ == "__main__":
    main("stages.view_sampling")
