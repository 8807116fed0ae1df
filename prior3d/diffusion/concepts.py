"""Textual inversion (Gal et al. 2022): a prior learns a new word for what one image shows; its own weights stay.

New token embeddings are found for which the prior denoises the image best. They lie beside the text encoder's table,
not in it. `resize_token_embeddings` and the loader of diffusers put them into the table, all of which is then one
parameter: an optimiser with weight decay would move every other word, and the digest of the text encoder would change.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prior3d.diffusion.known_words import KINDS, NAMED, WORD_LEVEL_VOCABULARY
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.errors import Prior3dError

TOKEN = re.compile(r"^<[a-z0-9][a-z0-9-]{0,30}>$")


@dataclass(frozen=True)
class Concept:
    """A word that a prior can learn.

    Attributes:
        token: how prompts write it, e.g. `<object>`.
        initializer_token: the prior's own word or words that it began as.
        embeddings: of its tokens; more than one where the word stands for several tokens.
        text_encoder_digest: of the text encoder that it is a word of; empty where that is not known.
    """

    token: str
    initializer_token: str
    embeddings: Float[Tensor, "vectors width"]
    text_encoder_digest: str


class ExtendedEmbedding(nn.Module):
    """A text encoder's token embedding with further vectors behind it, which alone are parameters to be trained."""

    def __init__(
        self, table: "nn.Embedding | ExtendedEmbedding", embeddings: Float[Tensor, "vectors width"], first: int
    ) -> None:
        """`first` is the token of the first of the new vectors; those below are the table's."""
        super().__init__()
        self.table: nn.Embedding | ExtendedEmbedding = table
        self.first = first
        self.embeddings = nn.Parameter(embeddings.clone())

    @property
    def weight(self) -> Float[Tensor, "words width"]:
        """The weights of the table without the new vectors, where transformers looks for their precision."""
        return self.table.weight

    def forward(self, tokens: Int[Tensor, "*tokens"]) -> Float[Tensor, "*tokens width"]:
        """Tokens to embeddings."""
        new = (tokens >= self.first) & (tokens < self.first + len(self.embeddings))
        known: Tensor = self.table(torch.where(new, 0, tokens))
        index = (tokens - self.first).clamp(0, len(self.embeddings) - 1)
        return torch.where(new[..., None], self.embeddings[index].to(known.dtype), known)


def add_concept(prior: DiffusionPrior, concept: Concept) -> ExtendedEmbedding:
    """Make a prior understand a concept's word in prompts, and return the module that holds its embeddings.

    Raises:
        Prior3dError: the word is malformed or known already, or the concept is of another text encoder.
    """
    from transformers import AddedToken  # seconds to import; stages that read a concept do without it

    check_token(concept.token)
    layer, tokenizer = _embedding_layer(prior), prior.diffusion.prompts.tokenizer
    _check_fits(prior, concept, layer.token_embedding.weight.shape[1])
    names = [concept.token, *(f"{concept.token[:-1]}-{k}>" for k in range(1, len(concept.embeddings)))]
    first = len(tokenizer)
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in names])
    if tokenizer.convert_tokens_to_ids(names) != list(range(first, first + len(names))):
        raise Prior3dError(f"concept {concept.token}: the prior's tokenizer takes no new words; use another prior")
    if len(names) > 1:
        prior.diffusion.prompts.spellings[concept.token] = " ".join(names)
    extended = ExtendedEmbedding(layer.token_embedding, concept.embeddings.to(prior.device, torch.float32), first)
    layer.token_embedding = extended.requires_grad_(False)
    prior.diffusion.prompts.forget()
    return extended


def _check_fits(prior: DiffusionPrior, concept: Concept, width: int) -> None:
    """Check that the concept is a new word of this prior's text encoder (raises Prior3dError)."""
    if concept.embeddings.shape[1:] != (width,):
        raise Prior3dError(
            f"concept {concept.token}: its embeddings are {concept.embeddings.shape[-1]} wide, the prior's text "
            f"encoder is {width} wide; invert the image again with this prior"
        )
    known = concept.text_encoder_digest
    if known and known != (found := text_encoder_digest(prior)):
        raise Prior3dError(
            f"concept {concept.token}: it is a word of another text encoder ({concept.text_encoder_digest[:12]}, this "
            f"prior's is {found[:12]}); invert the image again with this prior"
        )
    if concept.token in prior.diffusion.prompts.tokenizer.get_vocab():
        raise Prior3dError(f"concept {concept.token}: this prior knows that word already; choose another token")


def check_token(token: str) -> None:
    """Check that a word is one that no text contains by chance (raises Prior3dError)."""
    if not TOKEN.match(token):
        raise Prior3dError(f"concept {token!r}: write it in small letters between angle brackets, e.g. <object>")


def initial_embeddings(prior: DiffusionPrior, words: str, num_vectors: int = 1) -> Float[Tensor, "{num_vectors} width"]:
    """The token embeddings of known words, the last one's repeated, float32.

    Raises:
        Prior3dError: a word is unknown to the prior or made of several tokens, or there are more words than vectors.
    """
    each = words.split()
    if len(each) > num_vectors:
        raise Prior3dError(
            f"initializer {words!r}: {len(each)} words, but {num_vectors} vectors; name fewer words, or learn more "
            "vectors"
        )
    found = [_embedding_of_word(prior, word) for word in each]
    return torch.stack([*found, *[found[-1]] * (num_vectors - len(found))])


def single_token(prior: DiffusionPrior, word: str) -> bool:
    """Whether a word is one token of the prior's vocabulary, and not one that it has never seen."""
    tokenizer = prior.diffusion.prompts.tokenizer
    tokens = tokenizer(word, add_special_tokens=False).input_ids
    return len(tokens) == 1 and tokens[0] not in (tokenizer.unk_token_id, None) and not prior.unknown_words(word)


def _embedding_of_word(prior: DiffusionPrior, word: str) -> Tensor:
    tokenizer = prior.diffusion.prompts.tokenizer
    tokens = tokenizer(word, add_special_tokens=False).input_ids
    if not single_token(prior, word):
        raise Prior3dError(
            f"initializer {word!r}: it has {len(tokens)} tokens of this prior's vocabulary, but must be one known "
            "word; name a simpler one"
        )
    embedding: Tensor = _embedding_layer(prior).token_embedding.weight[tokens[0]].detach().float()
    return embedding.clone()


def vocabulary(prior: DiffusionPrior, longest: int) -> list[str]:
    """Whole words of three letters and more that are one token, the most frequent first; at most `longest`.

    A small vocabulary also holds ends of words: `ack` of black. There, only words that name something count, if any do.
    """
    tokenizer = prior.diffusion.prompts.tokenizer
    entries = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    words = [name.removesuffix("</w>") for name, _ in entries if name.endswith("</w>")]
    found = [w for w in words if len(w) > 2 and w.isascii() and w.isalpha() and w.islower()]
    found = [w for w in found if len(tokenizer(w, add_special_tokens=False).input_ids) == 1]
    naming = set(NAMED) if len(tokenizer) < WORD_LEVEL_VOCABULARY else set()
    return ([w for w in found if w in naming] or found)[:longest]


def kinds(prior: DiffusionPrior) -> list[str]:
    """What a small vocabulary can name, such as `teddy bear`; empty for a byte-pair vocabulary."""
    tokenizer = prior.diffusion.prompts.tokenizer
    if len(tokenizer) >= WORD_LEVEL_VOCABULARY:
        return []
    known = set(tokenizer.get_vocab())
    return [kind for kind in KINDS if all(f"{word}</w>" in known for word in kind.split())]


def text_encoder_digest(prior: DiffusionPrior) -> str:
    """A digest of the text encoder's weights in half precision, so that it is the same however they were loaded."""
    digest = hashlib.sha256()
    encoder = prior.diffusion.prompts.text_encoder
    tensors = {re.sub(r"(\.table)+\.", ".", name): t for name, t in encoder.state_dict().items()}
    for name, tensor in sorted(tensors.items()):
        if name.endswith(("position_ids", ".token_embedding.embeddings")):
            continue
        digest.update(name.encode())
        digest.update(tensor.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def inversion_loss(
    prior: DiffusionPrior,
    latents: Float[Tensor, "views channels h w"],
    noise: Float[Tensor, "views channels h w"],
    timesteps: Int[Tensor, "views"],
    text: Float[Tensor, "views tokens width"],
    camera: Float[Tensor, "views 16"] | None,
    at_once: int = 0,
) -> Float[Tensor, ""]:
    """The prior's own training loss: mean squared error of its prediction (epsilon or v); differentiable in text.

    Args:
        prior: the frozen model.
        latents: scaled.
        noise: standard normal.
        timesteps: of the views.
        text: embedded with gradient.
        camera: of `camera_embedding`; None: "no camera".
        at_once: views that the prior sees at once, and again in the backward pass; 0: all, and once.
    """
    noisy, target = (
        prior.add_noise(latents, noise, timesteps),
        prior.diffusion.training_target(latents, noise, timesteps),
    )
    if at_once == 0:
        return functional.mse_loss(prior.diffusion.network(noisy, timesteps, text, camera), target)
    parts = [slice(first, first + at_once) for first in range(0, len(latents), at_once)]
    predicted = [
        checkpoint(
            prior.diffusion.network,
            noisy[part],
            timesteps[part],
            text[part],
            None if camera is None else camera[part],
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for part in parts
    ]
    return functional.mse_loss(torch.cat(predicted), target)


def _embedding_layer(prior: DiffusionPrior) -> Any:
    """The text encoder's module that holds its `token_embedding`."""
    text_encoder = prior.diffusion.prompts.text_encoder
    if text_encoder is None:
        raise Prior3dError("concept: the prior's text encoder was freed already; add the concept before")
    for module in text_encoder.modules():
        if hasattr(module, "token_embedding"):
            return module
    raise Prior3dError("concept: the prior's text encoder has no token_embedding; use another prior")
