"""The body of image_captioning; the package says what it takes, gives and is set by."""

import shutil
from dataclasses import replace

import torch

from prior3d.diffusion.captions import verdict
from prior3d.diffusion.joint_views import JointViewsPrior, load_joint_views
from prior3d.diffusion.networks import dtype_of
from prior3d.diffusion.scorer import load_scorer
from prior3d.images.object_image import ObjectImage, Viewpoint
from prior3d.reconstruction.captioned_views import candidates, judge, search_direction
from prior3d.reconstruction.given_views import given_image
from prior3d.seeds import Seeds
from prior3d.settings.joint_views import GivenSettings
from stages.artifacts.captions import best_caption, save_caption
from stages.artifacts.images import load_object_image, save_object_image
from stages.contract.job import Job
from stages.image_captioning import Params

STEPS = 3
ALONE = GivenSettings(mirror_weight=0.0)


def run(job: Job, params: Params) -> None:
    """Look for captions and the camera, judge the captions, keep the best."""
    prior = load_joint_views(job.prior(), job.device, dtype_of(params.precision))
    image = load_object_image(job.inputs["image"])
    said = job.prompt if "prompt" in job.inputs else ""
    texts = [said] if said else likely(job, params, prior, image)
    noise = Seeds(params.seed).generator("noise", job.device)
    found = seen_from(job, params, prior, image, texts, noise)
    job.progress(2, STEPS, text=f"{len(texts)} captions to judge")
    judged = judge(prior, given_image(prior, found, ALONE), texts, params.caption, noise) if texts else []
    caption = best_caption([(j.text, j.error_ratio) for j in judged], params.caption.known_below, bool(said))
    save_caption(job.out, caption)
    keep(job, found if caption.known else image)
    job.metric("known", float(caption.known), "yes/no")
    ratio, n = caption.error_ratio, len(texts)
    job.metric("error_ratio", ratio, "of the error without words", n=n, higher_is_better=False)
    job.progress(STEPS, STEPS, text=verdict(judged, caption.known, caption.from_person))


def likely(job: Job, params: Params, prior: JointViewsPrior, image: ObjectImage) -> list[str]:
    """What the scorer finds likely; nothing where no captions are known."""
    if params.caption.candidates == "none":
        return []
    job.progress(0, STEPS, text="looking for a caption")
    scorer = load_scorer(job.prior("scorer"), job.device)
    return candidates(scorer, given_image(prior, image, ALONE), params.caption.n_kept)


def seen_from(
    job: Job, params: Params, prior: JointViewsPrior, image: ObjectImage, texts: list[str], noise: torch.Generator
) -> ObjectImage:
    """The image with the camera that explains it best to the prior, unless a person gave one or none is looked for."""
    if "camera" in job.inputs or params.camera_search.n_azimuths == 1 or not texts:
        return image
    job.progress(1, STEPS, text="looking for the direction of the image")
    given = given_image(prior, image, ALONE)
    azimuth_deg, elevation_deg = search_direction(prior, given, texts, params.camera_search, noise)
    return replace(image, viewpoint=Viewpoint(azimuth_deg, elevation_deg, prior.fov_deg, prior.radius))


def keep(job: Job, image: ObjectImage) -> None:
    """Write the image with its camera, and what image_preparation shows of it."""
    view = image.viewpoint
    save_object_image(job.out, image)
    job.metric("azimuth", view.azimuth_deg, "degrees")
    job.metric("elevation", view.elevation_deg, "degrees")
    preview = job.inputs["image"] / "preview.png"
    if preview.is_file():
        shutil.copyfile(preview, job.out / "preview.png")
