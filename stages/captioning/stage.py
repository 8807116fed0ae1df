"""The body of captioning; the package says what it takes, gives and is set by."""

from dataclasses import replace

import torch

from prior3d.cameras import view_words
from prior3d.diffusion.captions import JudgedCaption, judged_captions, likely_captions
from prior3d.diffusion.joint_views import JointViewsPrior, load_joint_views
from prior3d.diffusion.scorer import load_scorer
from prior3d.errors import Prior3dError
from prior3d.reconstruction.drawn_views import GivenViews, background_for_images, view_text
from prior3d.seeds import Seeds
from prior3d.settings.joint_views import GivenSettings
from prior3d.toyworld.palette import BACKGROUNDS
from stages.artifacts.captions import Caption, save_caption
from stages.artifacts.given_views import load_given_views
from stages.captioning import Params
from stages.contract.job import Job

STEPS = 2
SHOWN = 3  # captions that the progress line names


def run(job: Job, params: Params) -> None:
    """Look for captions, judge them, keep the best."""
    prior = load_joint_views(job.prior(), job.device)
    given = load_given_views(job, prior, replace(GivenSettings(), mirror_weight=0.0))
    if given is None:
        raise Prior3dError(f"stage {job.name}: give it an image or posed images (--image or --views)")
    said = job.prompt if "prompt" in job.inputs else ""
    texts = [said] if said else candidates(job, params, given)
    job.progress(1, STEPS, text=f"{len(texts)} captions to judge")
    judged = judge(job, params, prior, given, texts) if texts else []
    best = judged[0] if judged else JudgedCaption("", 1.0)
    known = best.error_ratio < params.caption.known_below
    save_caption(job.out, Caption(best.text, known, best.error_ratio, bool(said)))
    job.metric("known", float(known), "yes/no", n=len(given.colours))
    job.metric("error_ratio", best.error_ratio, "of the error without words", n=len(texts), higher_is_better=False)
    job.progress(STEPS, STEPS, text=told(judged, known, bool(said)))


def candidates(job: Job, params: Params, given: GivenViews) -> list[str]:
    """What the scorer finds likely, over all backgrounds."""
    if params.caption.candidates == "none":
        return []
    scorer = load_scorer(job.prior("scorer"), job.device)
    images = [given.over(level) for level, *_ in BACKGROUNDS.values()]
    job.progress(0, STEPS, text="looking for a caption")
    return likely_captions(scorer, [image.to(job.device) for image in images], params.caption.n_kept)


def judge(job: Job, params: Params, prior: JointViewsPrior, given: GivenViews, texts: list[str]) -> list[JudgedCaption]:
    """The captions by the prior's errors on the images, or on some of them that are spread among all."""
    behind = background_for_images(given)
    n = len(given.colours)
    chosen = [place * n // min(n, params.most_images) for place in range(min(n, params.most_images))]
    orbit = given.orbit[torch.tensor(chosen)]
    prompts = {text: [view_text(text, word, behind.name) for word in view_words(orbit)] for text in texts}
    generator = Seeds(params.seed).generator("noise")
    return judged_captions(prior, given.over(behind.level)[chosen], orbit, prompts, params.caption, generator)


def told(judged: list[JudgedCaption], known: bool, from_person: bool) -> str:
    """What a person should know; a warning where the prior does not know the thing."""
    if not judged:
        return "warning: there is no caption: whether the prior knows the thing is not measured"
    best = judged[0]
    ratio = f"its error with {best.text!r} is {best.error_ratio:.2f} of its error without words"
    if not known:
        advice = "another --prompt may help" if from_person else "--prompt can name it"
        return f"warning: the prior does not know this thing ({ratio}); {advice}"
    others = "; next: " + ", ".join(f"{j.text} {j.error_ratio:.2f}" for j in judged[1:SHOWN]) if judged[1:] else ""
    return f"the prior knows it: {ratio}{others}"
