"""What a picture's object is called: a person's sentence, or the word that a prior was taught for it."""

from typing import TYPE_CHECKING

from stages.concept_artifact import Concept
from stages.entry import Job

if TYPE_CHECKING:
    from prior3d.priors.text_to_image import TextToImagePrior


def subject(job: Job, prior: "TextToImagePrior") -> str:
    """The sentence about the object: the job's prompt, else `a <word>` of its concept, else nothing.

    The prior is taught the concept's word if there is one, also where a prompt may name it.

    Raises:
        Prior3dError: the concept is of another text encoder than the prior's.
    """
    from prior3d.priors.concepts import teach

    word = ""
    if "concept" in job.inputs:
        concept = Concept.load(job.inputs["concept"])
        teach(prior, concept)
        word = f"a {concept.token}"
    return job.prompt if "prompt" in job.inputs else word
