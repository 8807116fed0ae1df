"""The toy prior's tokenizer: CLIP's byte-pair encoding, trained until every word of the toy world is one token."""

import json
from typing import Any

from prior3d.toyworld.palette import BACKGROUNDS, COLOURS, PATTERNS
from prior3d.toyworld.shapes import CATEGORIES

MAX_TOKENS = 32


def vocabulary() -> list[str]:
    """Every word that a caption can hold."""
    phrases = [*COLOURS, *BACKGROUNDS, *PATTERNS, *(f"{kind.noun} {kind.part}" for kind in CATEGORIES)]
    phrases += ["a", "an", "with", "and", "background", "front", "side", "back", "overhead", "view", ",", "."]
    return sorted({word for phrase in phrases for word in phrase.split()})


def build_tokenizer() -> Any:
    """A `transformers.CLIPTokenizer` in which each word of `vocabulary()` is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    learner = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    letters = sorted({letter for letter in pre_tokenizers.ByteLevel.alphabet() if letter.isascii()})
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=1,
        initial_alphabet=letters,
        end_of_word_suffix="</w>",
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        show_progress=False,
    )
    learner.train_from_iterator(vocabulary(), trainer)
    learned = json.loads(learner.to_str())["model"]
    vocab = dict(learned["vocab"])
    for letter in letters:  # an unknown word falls into letters, the last of which carries the suffix
        vocab.setdefault(f"{letter}</w>", len(vocab))
    merges: Any = [tuple(pair) for pair in learned["merges"]]  # transformers' annotation says strings; pairs are meant
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)
