"""Priors as stages take them: by name and content, and perhaps with a word that textual inversion taught.

A prior is a small JSON file with `name` and `digest`; where the weights lie is not part of it. A concept is
`concept.safetensors` (its token embeddings, called `rows`) and `concept.json` (token, initializer token, digest); or
`learned_embeds.safetensors`, as others share theirs: a word and its embeddings, without a text encoder's digest.
"""

import re
from pathlib import Path

from prior3d.diffusion.concepts import Concept, add_concept, check_token, text_encoder_digest
from prior3d.diffusion.networks import dtype_of
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.diffusion.text_to_image import TextToImagePrior, load_text_to_image
from prior3d.errors import Prior3dError
from prior3d.settings import Engine, Precision
from stages.artifacts.base import RUN_AGAIN, read_json, read_tensors, write_json, write_tensors
from stages.contract.job import Job

SHARED = "learned_embeds.safetensors"


def check_prior(path: Path) -> None:
    """Check that both keys are there and are text."""
    found = read_json(path)
    for key in ("name", "digest"):
        if not isinstance(found.get(key), str) or not found[key]:
            raise Prior3dError(f'{path}: {key!r} is missing. It must hold {{"name": ..., "digest": ...}}.')


def save_concept(folder: Path, concept: Concept) -> None:
    """Write a concept.

    Raises:
        Prior3dError: a value is not finite.
    """
    if not concept.embeddings.isfinite().all():
        raise Prior3dError(
            f"{folder}: the word's embedding is not finite. Lower textual_inversion.optimiser.learning_rate."
        )
    write_tensors(folder / "concept.safetensors", {"rows": concept.embeddings.float()})
    facts = {
        "token": concept.token,
        "initializer_token": concept.initializer_token,
        "text_encoder_digest": concept.text_encoder_digest,
    }
    write_json(folder / "concept.json", facts)


def load_concept(folder: Path) -> Concept:
    """Read a concept; a Prior3dError says what is wrong with it."""
    if not (folder / "concept.json").is_file() and (folder / SHARED).is_file():
        return _shared_concept(folder / SHARED)
    if (pickled := folder / SHARED.replace(".safetensors", ".bin")).is_file():
        raise Prior3dError(
            f"{pickled}: a pickle, which can run code and is never opened; convert it: load it with torch where you "
            f"trust it, and save its word and embeddings by safetensors as {SHARED}"
        )
    facts = read_json(folder / "concept.json")
    if "initial_word" in facts:  # its name until version 0.1
        facts["initializer_token"] = facts.pop("initial_word")
    for key in ("token", "initializer_token", "text_encoder_digest"):
        if not isinstance(facts.get(key), str) or not facts[key]:
            raise Prior3dError(f"{folder / 'concept.json'}: {key!r} is missing. Give a folder of textual_inversion.")
    check_token(facts["token"])
    path = folder / "concept.safetensors"
    embeddings = read_tensors(path, "rows")["rows"]
    if embeddings.ndim != 2 or not len(embeddings) or not embeddings.isfinite().all():
        raise Prior3dError(f"{path}: found rows {tuple(embeddings.shape)}, or values that are not finite. {RUN_AGAIN}")
    return Concept(facts["token"], facts["initializer_token"], embeddings, facts["text_encoder_digest"])


def _shared_concept(path: Path) -> Concept:
    """A concept as diffusers, sd-concepts-library and AUTOMATIC1111 write it: one word, or `emb_params`.

    Its word is written as ours are: small letters, digits and hyphens between angle brackets.
    """
    tensors = read_tensors(path)
    if len(tensors) != 1:
        raise Prior3dError(f"{path}: found {len(tensors)} words ({', '.join(list(tensors)[:3])}); give a file of one")
    name, embeddings = next(iter(tensors.items()))
    name = path.parent.name if name == "emb_params" else name
    token = f"<{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')[:31]}>"
    check_token(token)
    embeddings = embeddings[None] if embeddings.ndim == 1 else embeddings
    if embeddings.ndim != 2 or not len(embeddings) or not embeddings.isfinite().all():
        raise Prior3dError(f"{path}: found {tuple(embeddings.shape)} for {name}, or values that are not finite")
    return Concept(token, token.strip("<>").replace("-", " "), embeddings.float(), "")


def check_concept(folder: Path) -> None:
    """Load the concept."""
    load_concept(folder)


def load_prior(job: Job, precision: Precision, engine: Engine, *, prompt: str | None = None) -> TextToImagePrior:
    """The job's text-to-image prior, with the job's concept, if it has one.

    Args:
        job: with an input `prior`, and perhaps one called `concept`.
        precision: of the prior's networks.
        engine: what runs its U-Net.
        prompt: a person's sentence, which must then hold the concept's word.

    Raises:
        Prior3dError: the prior cannot be loaded, the engine cannot run it, the concept is of another, or the prompt
            does not name it.
    """
    prior = load_text_to_image(job.prior(), job.device, dtype_of(precision))
    prior.use_engine(engine)
    if "concept" in job.inputs:
        concept = load_concept(job.inputs["concept"])
        if prompt is not None and concept.token not in prompt:
            raise Prior3dError(
                f"--prompt {prompt!r} does not hold the concept's word; write it in, e.g. 'a {concept.token}'"
            )
        add_concept(prior, concept)
    return prior


def object_prompt(job: Job, prior: DiffusionPrior) -> str:
    """What the object is called: the job's prompt, else `a <word>` of its concept, else nothing.

    The prior is taught the concept's word, also where a prompt may name it. A prior with another text encoder than the
    one that the word was found for cannot learn it. The word that inversion began with then stands for it, and a line
    says so.
    """
    sentence = job.prompt if "prompt" in job.inputs else ""
    if "concept" not in job.inputs:
        return sentence
    concept = load_concept(job.inputs["concept"])
    if concept.text_encoder_digest in ("", text_encoder_digest(prior)):
        add_concept(prior, concept)
        return sentence or f"a {concept.token}"
    if not sentence:
        sentence = f"a {concept.initializer_token}"
        print(  # noqa: T201
            f"{job.name}: {concept.token} is a word of another text encoder than this prior's; asking for "
            f"{sentence!r}, as which it began",
            flush=True,
        )
    return sentence
