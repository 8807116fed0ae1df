"""New words of a text encoder: a prior learns what one picture shows without a weight of it changing.

Textual inversion (Gal et al. 2022): a new row of the text encoder's table of words is found for which the prior
denoises the picture best. Here the new rows lie beside the table, not in it, so that no other row can change.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.errors import Prior3dError

TOKEN = re.compile(r"^<[a-z0-9][a-z0-9-]{0,30}>$")


@dataclass(frozen=True)
class Concept:
    """A word that a prior was taught.

    Attributes:
        token: how prompts write it, e.g. `<object>`.
        initial_word: the word of the prior's own that it began as.
        rows: [tokens, width] of the text encoder's table; more than one where the word stands for several tokens.
        text_encoder_digest: of the text encoder that it is a word of.
    """

    token: str
    initial_word: str
    rows: Tensor
    text_encoder_digest: str


class WiderTable(nn.Module):
    """A text encoder's table of words with further rows behind it, which alone are parameters that may be trained."""

    def __init__(self, table: nn.Module, rows: Tensor, first: int):
        """`first` is the token that the first of the new rows stands for; those below are the table's."""
        super().__init__()
        self.table, self.first = table, first
        self.rows = nn.Parameter(rows.clone())

    @property
    def weight(self) -> Tensor:
        """The weights of the table without the new rows, where transformers looks for their precision."""
        weight: Tensor = self.table.weight  # type: ignore[assignment]
        return weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [...] to rows [..., width]."""
        new = (tokens >= self.first) & (tokens < self.first + len(self.rows))
        known = self.table(torch.where(new, 0, tokens))
        index = (tokens - self.first).clamp(0, len(self.rows) - 1)
        return torch.where(new[..., None], self.rows[index].to(known.dtype), known)


def teach(prior: TextToImagePrior, concept: Concept) -> WiderTable:
    """Make a prior understand a concept's word in prompts, and return the table that holds its rows.

    Raises:
        Prior3dError: the word is malformed or known already, or the concept is of another text encoder.
    """
    from transformers import AddedToken

    check_token(concept.token)
    embeddings = _embeddings(prior)
    width = embeddings.token_embedding.weight.shape[1]
    if concept.rows.shape[1:] != (width,):
        raise Prior3dError(
            f"concept {concept.token}: its rows are {concept.rows.shape[-1]} wide, the prior's text encoder is {width} "
            "wide; invert the picture again with this prior"
        )
    if concept.text_encoder_digest != (found := text_encoder_digest(prior)):
        raise Prior3dError(
            f"concept {concept.token}: it is a word of another text encoder ({concept.text_encoder_digest[:12]}, this "
            f"prior's is {found[:12]}); invert the picture again with this prior"
        )
    if concept.token in prior.tokenizer.get_vocab():
        raise Prior3dError(f"concept {concept.token}: this prior knows that word already; choose another token")
    names = [concept.token, *(f"{concept.token[:-1]}-{k}>" for k in range(1, len(concept.rows)))]
    first = len(prior.tokenizer)
    prior.tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in names])
    if prior.tokenizer.convert_tokens_to_ids(names) != list(range(first, first + len(names))):
        raise Prior3dError(f"concept {concept.token}: the prior's tokenizer takes no new words; use another prior")
    if len(names) > 1:
        prior.spelled[concept.token] = " ".join(names)
    table = WiderTable(embeddings.token_embedding, concept.rows.to(prior.device, torch.float32), first)
    embeddings.token_embedding = table.requires_grad_(False)
    prior.forget_texts()
    return table


def check_token(token: str) -> None:
    """Hold that a word is one that no text contains by chance (raises Prior3dError)."""
    if not TOKEN.match(token):
        raise Prior3dError(f"concept {token!r}: write it in small letters between angle brackets, e.g. <object>")


def rows_of_words(prior: TextToImagePrior, words: str, n_rows: int = 1) -> Tensor:
    """The rows of the table of known words, the last one's repeated: [n_rows, width], float32.

    Raises:
        Prior3dError: a word is unknown to the prior or made of several tokens, or there are more words than rows.
    """
    each = words.split()
    if len(each) > n_rows:
        raise Prior3dError(f"initial word {words!r}: {len(each)} words, but {n_rows} rows; name fewer, or raise n_rows")
    rows = [_row_of_word(prior, word) for word in each]
    return torch.stack([*rows, *[rows[-1]] * (n_rows - len(rows))])


def _row_of_word(prior: TextToImagePrior, word: str) -> Tensor:
    tokens = prior.tokenizer(word, add_special_tokens=False).input_ids
    if len(tokens) != 1 or tokens[0] in (prior.tokenizer.unk_token_id, None) or prior.unknown_words(word):
        raise Prior3dError(
            f"initial word {word!r}: it has {len(tokens)} tokens of this prior's vocabulary, but must be one known "
            "word; name a simpler one"
        )
    row: Tensor = _embeddings(prior).token_embedding.weight[tokens[0]].detach().float()
    return row.clone()


def vocabulary(prior: TextToImagePrior, longest: int) -> list[str]:
    """Whole words of three letters and more that are one token, the most frequent first; at most `longest`."""
    entries = sorted(prior.tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    words = [name.removesuffix("</w>") for name, _ in entries if name.endswith("</w>")]
    found = [w for w in words if len(w) > 2 and w.isascii() and w.isalpha() and w.islower()]
    return [w for w in found if len(prior.tokenizer(w, add_special_tokens=False).input_ids) == 1][:longest]


def text_encoder_digest(prior: TextToImagePrior) -> str:
    """A digest of the text encoder's weights in half precision, so that it is the same however they were loaded."""
    digest = hashlib.sha256()
    tensors = {name.replace(".table.", "."): t for name, t in prior.text_encoder.state_dict().items()}
    for name, tensor in sorted(tensors.items()):
        if name.endswith(("position_ids", ".rows")):
            continue
        digest.update(name.encode())
        digest.update(tensor.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def embed_with_gradient(prior: TextToImagePrior, prompts: list[str]) -> Tensor:
    """Encode prompts [prompts, tokens, width] so that the gradient reaches the new rows; nothing is remembered."""
    together = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
    tokens = [prior.tokenise(prompt) for prompt in together]
    ids = torch.cat([t.input_ids for t in tokens]).to(prior.device)
    uses_mask = getattr(prior.text_encoder.config, "use_attention_mask", False)
    mask = torch.cat([t.attention_mask for t in tokens]).to(prior.device) if uses_mask else None
    encoded: Tensor = prior.text_encoder(ids, attention_mask=mask)[0].float()
    return encoded[[together[prompt] for prompt in prompts]]


def inversion_loss(
    prior: TextToImagePrior, latents: Tensor, noise: Tensor, timesteps: Tensor, text: Tensor, camera: Tensor | None
) -> Tensor:
    """The prior's own training loss: mean squared error of its prediction (epsilon or v); differentiable in text.

    Args:
        prior: the frozen model.
        latents: [views, channels, h, w] scaled.
        noise: standard normal, shaped like latents.
        timesteps: [views].
        text: [views, tokens, width].
        camera: [views, CAMERA_DIM] or None.
    """
    noisy = prior.add_noise(latents, noise, timesteps)
    predicted = prior.differentiable_network(noisy, timesteps, text, camera)
    target = noise
    if prior.prediction_type == "v_prediction":
        alphas = prior.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        target = alphas.sqrt() * noise - (1 - alphas).sqrt() * latents
    return functional.mse_loss(predicted, target)


def _embeddings(prior: TextToImagePrior) -> Any:
    """The text encoder's module that holds its table, as `token_embedding`."""
    if prior.text_encoder is None:
        raise Prior3dError("concept: the prior's text encoder was freed already; teach the concept before")
    for module in prior.text_encoder.modules():
        if hasattr(module, "token_embedding"):
            return module
    raise Prior3dError("concept: the prior's text encoder has no table of words (token_embedding); use another prior")
