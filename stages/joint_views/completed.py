"""One image of a thing that the prior does not know: a body completed from it, with views for the fit."""

from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.images.object_image import ObjectImage
from prior3d.reconstruction.completion import Completion, complete
from prior3d.reconstruction.given_views import given_image
from prior3d.reconstruction.redrawn_outlines import redrawn_outlines
from prior3d.seeds import Seeds
from prior3d.settings.completion import CompletionSettings
from prior3d.settings.joint_views import GivenSettings
from stages.artifacts.completions import save_completion
from stages.contract.job import Job
from stages.joint_views import Params


def completed(job: Job, params: Params, prior: JointViewsPrior, image: ObjectImage, text: str) -> Completion:
    """The completion of an image; where a person named the thing, trimmed to outlines that the prior draws.

    Its settings are noted in the stage's output, for the field and the mesh that are made of it.
    """
    seeds, settings = Seeds(params.seed), CompletionSettings(body=params.body, back=params.back)
    save_completion(job.out, settings)
    found = complete(image, settings, seeds)
    if not text or params.outlines.strength == 0 or not prior.takes_given:
        return found
    job.progress(0, 1, text=f"outlines of {text}")
    given = given_image(prior, image, GivenSettings(mirror_weight=0.0))
    outlines = redrawn_outlines(
        prior, text, given, found.field, params.outlines, settings.fit.n_samples, seeds.generator("noise", job.device)
    )
    return complete(image, settings, seeds, outlines)
