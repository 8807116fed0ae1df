"""Artifact: a word that a prior was taught, and the one place where stages open a prior that may know such a word."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from prior3d.errors import Prior3dError
from stages.artifacts import _AGAIN, _parse, _read
from stages.entry import Job

if TYPE_CHECKING:
    from prior3d.priors.concepts import Concept as Word
    from prior3d.priors.text_to_image import TextToImagePrior


class Concept:
    """A word: `concept.safetensors` (its rows), `concept.json` (token, initial word, the text encoder's digest)."""

    @staticmethod
    def save(folder: Path, concept: "Word") -> None:
        """Write a concept.

        Raises:
            Prior3dError: a value is not finite.
        """
        from safetensors.torch import save

        from prior3d.checkpoints import write_atomically

        if not concept.rows.isfinite().all():
            raise Prior3dError(f"{folder}: the word's row is not finite. Lower textual_inversion.learning_rate.")
        rows = concept.rows.detach().cpu().float().contiguous()
        write_atomically(folder / "concept.safetensors", save({"rows": rows}))
        facts = {
            "token": concept.token,
            "initial_word": concept.initial_word,
            "text_encoder_digest": concept.text_encoder_digest,
        }
        write_atomically(folder / "concept.json", (json.dumps(facts, indent=2) + "\n").encode())

    @staticmethod
    def load(folder: Path) -> "Word":
        """Read a concept; a Prior3dError says what is wrong with it."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        from prior3d.priors.concepts import Concept as Word
        from prior3d.priors.concepts import check_token

        facts = _parse(folder / "concept.json")
        for key in ("token", "initial_word", "text_encoder_digest"):
            if not isinstance(facts.get(key), str) or not facts[key]:
                raise Prior3dError(
                    f"{folder / 'concept.json'}: {key!r} is missing. Give a folder of textual_inversion."
                )
        check_token(facts["token"])
        path = folder / "concept.safetensors"
        try:
            rows = load(_read(path))["rows"]
        except (SafetensorError, KeyError) as error:
            raise Prior3dError(f"{path}: damaged ({error}). {_AGAIN}") from error
        if rows.ndim != 2 or not len(rows) or not rows.isfinite().all():
            raise Prior3dError(f"{path}: found rows {tuple(rows.shape)}, or values that are not finite. {_AGAIN}")
        return Word(facts["token"], facts["initial_word"], rows, facts["text_encoder_digest"])

    @staticmethod
    def validate(folder: Path) -> None:
        """Load the concept."""
        Concept.load(folder)


def load_prior(job: Job, *, prompt: str | None = None) -> "TextToImagePrior":
    """The job's text-to-image prior, with the job's concept, if it has one.

    Args:
        job: with an input `prior`, and perhaps one called `concept`.
        prompt: a person's sentence, which must then hold the concept's word.

    Raises:
        Prior3dError: the prior cannot be loaded, the concept is of another, or the prompt does not name it.
    """
    from prior3d.priors.concepts import teach
    from prior3d.priors.loading import load_text_to_image

    prior = load_text_to_image(job.prior(), job.device)
    if "concept" in job.inputs:
        concept = Concept.load(job.inputs["concept"])
        if prompt is not None and concept.token not in prompt:
            raise Prior3dError(
                f"--prompt {prompt!r} does not hold the concept's word; write it in, e.g. 'a {concept.token}'"
            )
        teach(prior, concept)
    return prior
