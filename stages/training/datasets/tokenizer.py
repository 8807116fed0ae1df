"""The toy prior's tokenizer: CLIP's byte-pair encoding, in which every word of the toy world is one token."""

import itertools
import json
from typing import Any

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from prior3d.toyworld.palette import BACKGROUNDS, COLOURS, PATTERNS
from prior3d.toyworld.shapes import CATEGORIES

MAX_TOKENS = 32
END = "</w>"  # what CLIP marks the last letter of a word with


def vocabulary() -> list[str]:
    """Every word that a caption can hold."""
    phrases = [*COLOURS, *BACKGROUNDS, *PATTERNS, *(f"{kind.noun} {kind.part}" for kind in CATEGORIES)]
    phrases += ["a", "an", "with", "and", "background", "front", "side", "back", "overhead", "view", ",", "."]
    return sorted({word for phrase in phrases for word in phrase.split()})


def build_tokenizer() -> Any:
    """A `transformers.CLIPTokenizer` in which each word of `vocabulary()` is one token, the same on every call.

    The merges are laid down here, word by word, and not learnt: the tokenizers library breaks ties between equally
    frequent pairs in the order of a hash table, so that two processes gave a few words different numbers.
    """
    letters = sorted(letter for letter in pre_tokenizers.ByteLevel.alphabet() if letter.isascii())
    # an unknown word falls into letters, the last of which carries the suffix
    entries = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}{END}" for letter in letters)]
    vocab, merges = grown({entry: number for number, entry in enumerate(entries)}, [], vocabulary())
    given: Any = merges  # transformers' annotation says strings; pairs are meant
    return CLIPTokenizer(vocab=vocab, merges=given, model_max_length=MAX_TOKENS)


def with_words(tokenizer: Any, words: list[str]) -> Any:
    """A tokenizer that also has these words as one token each; what the given one knew keeps its number."""
    known = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [tuple(pair.split() if isinstance(pair, str) else pair) for pair in known["merges"]]
    vocab, pairs = grown(known["vocab"], merges, words)
    given: Any = pairs
    return CLIPTokenizer(vocab=vocab, merges=given, model_max_length=tokenizer.model_max_length)


def new_words(tokenizer: Any, captions: list[str]) -> list[str]:
    """Words of captions that are not one token, in the order of the alphabet: the same for the same captions."""
    words = {word for caption in captions for word in caption.lower().replace("'", " ").replace("-", " ").split()}
    vocab = tokenizer.get_vocab()
    return sorted(word for word in words if f"{word}{END}" not in vocab and word.isascii() and word.isalpha())


def grown(
    vocab: dict[str, int], merges: list[tuple[str, str]], words: list[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-pair vocabulary and its merges with words added, each until it is one token.

    New merges rank behind all others, so a word that was one token stays that token.
    """
    vocab, merges = dict(vocab), list(merges)
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    for word in words:
        parts = pieces(word, ranks)
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            merges.append(pair)
            ranks[pair] = len(ranks)
            vocab.setdefault("".join(pair), len(vocab))
            parts = pieces(word, ranks)
    return vocab, merges


def pieces(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """What byte-pair encoding makes of a word: the pair of lowest rank is joined until none is known."""
    parts = [*word[:-1], word[-1] + END]
    while True:
        known = [(ranks[pair], place) for place, pair in enumerate(itertools.pairwise(parts)) if pair in ranks]
        if not known:
            return parts
        place = min(known)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
