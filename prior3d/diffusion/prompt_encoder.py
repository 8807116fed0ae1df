"""Prompts to embeddings: a tokenizer and a text encoder, each prompt encoded once."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.diffusion.known_words import UnknownWord, read, unknown_words
from prior3d.errors import Prior3dError


class PromptEncoder:
    """The text side of a prior.

    Attributes:
        text_encoder: a CLIPTextModel, or None after `free`.
        tokenizer: its CLIPTokenizer.
        spellings: tokens that a word in prompts stands for (see `prior3d.diffusion.concepts`).
    """

    def __init__(self, text_encoder: Any, tokenizer: Any) -> None:
        """Take both as they are."""
        self.text_encoder, self.tokenizer = text_encoder, tokenizer
        self.device: torch.device = text_encoder.device
        self.spellings: dict[str, str] = {}
        self._embeddings: dict[str, Tensor] = {}

    @torch.no_grad()
    def embed(self, prompts: list[str]) -> Float[Tensor, "prompts tokens width"]:
        """Encode prompts, each once, float32. Long ones are cut off, as in diffusers.

        Raises:
            Prior3dError: the text encoder was freed before a prompt was embedded.
        """
        unseen = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._embeddings]
        if unseen and self.text_encoder is None:
            raise Prior3dError(f"prior: the text encoder was freed before {unseen[0]!r} was embedded; embed it earlier")
        for prompt in unseen:  # one by one, so that an embedding never depends on its neighbours in the batch
            self._embeddings[prompt] = self._encode([prompt])
        return torch.cat([self._embeddings[prompt] for prompt in prompts])

    def embed_with_gradient(self, prompts: list[str]) -> Float[Tensor, "prompts tokens width"]:
        """Encode prompts so that gradients reach the token embeddings; nothing is cached."""
        distinct = list(dict.fromkeys(prompts))
        return self._encode(distinct)[[distinct.index(prompt) for prompt in prompts]]

    def free(self) -> None:
        """Drop the text encoder's memory; prompts embedded so far stay available."""
        self.text_encoder = None

    def forget(self) -> None:
        """Drop the prompts embedded so far: the text encoder has changed."""
        self._embeddings.clear()

    def unknown_words(self, prompt: str) -> list[UnknownWord]:
        """Words that a small word-level vocabulary lacks, in order, with what is read in their place.

        Always empty for a byte-pair vocabulary, which can spell any word.
        """
        return unknown_words(self.tokenizer, prompt)

    def _encode(self, prompts: list[str]) -> Tensor:
        """Pad or cut prompts to the text encoder's length and encode them, float32."""
        config = self.text_encoder.config
        for word, spelling in self.spellings.items():
            prompts = [prompt.replace(word, spelling) for prompt in prompts]
        prompts = [read(prompt, self.unknown_words(prompt)) for prompt in prompts]
        length = config.max_position_embeddings
        tokens = self.tokenizer(
            prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).to(self.device)
        mask = tokens.attention_mask if getattr(config, "use_attention_mask", False) else None
        encoded: Tensor = self.text_encoder(tokens.input_ids, attention_mask=mask)[0]
        return encoded.float()
