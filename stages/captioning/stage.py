"""The body of captioning; the package says what it takes, gives and is set by."""

from prior3d.diffusion.captions import verdict
from prior3d.diffusion.joint_views import load_joint_views
from prior3d.diffusion.networks import dtype_of
from prior3d.diffusion.scorer import load_scorer
from prior3d.reconstruction.captioned_views import candidates, judge
from prior3d.reconstruction.drawn_views import GivenViews
from prior3d.seeds import Seeds
from prior3d.settings.joint_views import GivenSettings
from stages.artifacts.captions import best_caption, save_caption
from stages.artifacts.given_views import posed_images
from stages.captioning import Params
from stages.contract.job import Job

STEPS = 2


def run(job: Job, params: Params) -> None:
    """Look for captions, judge them, keep the best."""
    prior = load_joint_views(job.prior(), job.device, dtype_of(params.precision))
    given = posed_images(job, prior, GivenSettings())
    said = job.prompt if "prompt" in job.inputs else ""
    texts = [said] if said else likely(job, params, given)
    job.progress(1, STEPS, text=f"{len(texts)} captions to judge")
    noise = Seeds(params.seed).generator("noise", job.device)
    judged = judge(prior, given, texts, params.caption, noise, params.most_images) if texts else []
    caption = best_caption([(j.text, j.error_ratio) for j in judged], params.caption.known_below, bool(said))
    save_caption(job.out, caption)
    job.metric("known", float(caption.known), "yes/no", n=len(given.colours))
    ratio, n = caption.error_ratio, len(texts)
    job.metric("error_ratio", ratio, "of the error without words", n=n, higher_is_better=False)
    job.progress(STEPS, STEPS, text=verdict(judged, caption.known, caption.from_person))


def likely(job: Job, params: Params, given: GivenViews) -> list[str]:
    """What the scorer finds likely; nothing where no captions are known."""
    if params.caption.candidates == "none":
        return []
    job.progress(0, STEPS, text="looking for a caption")
    return candidates(load_scorer(job.prior("scorer"), job.device), given, params.caption.n_kept)
