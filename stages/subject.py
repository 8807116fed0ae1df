"""What a picture's object is called: a person's sentence, or the word that a prior was taught for it."""

from typing import TYPE_CHECKING

from stages.concept_artifact import Concept
from stages.entry import Job

if TYPE_CHECKING:
    from prior3d.priors.text_to_image import TextToImagePrior


def subject(job: Job, prior: "TextToImagePrior") -> str:
    """The sentence about the object: the job's prompt, else `a <word>` of its concept, else nothing.

    The prior is taught the concept's word, also where a prompt may name it. A prior with another text encoder than the
    one that the word was found for cannot learn it: the word as which it began stands for it then, and that is said.
    """
    from prior3d.priors.concepts import teach, text_encoder_digest

    sentence = job.prompt if "prompt" in job.inputs else ""
    if "concept" not in job.inputs:
        return sentence
    concept = Concept.load(job.inputs["concept"])
    if concept.text_encoder_digest == text_encoder_digest(prior):
        teach(prior, concept)
        return sentence or f"a {concept.token}"
    if not sentence:
        sentence = f"a {concept.initial_word}"
        print(  # noqa: T201
            f"{job.name}: {concept.token} is a word of another text encoder than this prior's; asking for "
            f"{sentence!r}, as which it began",
            flush=True,
        )
    return sentence
