"""The toy tokenizer: every word one token, the same in every process, and room for new words."""

import json
import os
import subprocess
import sys

from transformers import CLIPTokenizer

from prior3d.toyworld.objects import sample_object
from stages.training.datasets.tokenizer import MAX_TOKENS, build_tokenizer, vocabulary, with_words


def test_every_word_of_the_toy_world_is_one_token_and_unknown_words_fall_apart():
    tokenizer = build_tokenizer()
    assert all(len(tokenizer.tokenize(word)) == 1 for word in vocabulary())
    assert len(tokenizer.tokenize("zebra")) > 1
    assert tokenizer.model_max_length == MAX_TOKENS
    longest = max((sample_object(0, i).caption for i in range(200)), key=len)
    ids = tokenizer(f"{longest}, overhead view, white background").input_ids
    assert len(ids) < MAX_TOKENS and tokenizer.decode(ids, skip_special_tokens=True).startswith(longest.split()[0])


def test_every_process_gives_a_word_the_same_number():
    build = "import json; from stages.training.datasets.tokenizer import build_tokenizer as build; "
    build += "print(json.dumps(build().get_vocab()))"
    here = build_tokenizer().get_vocab()
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        said = subprocess.run([sys.executable, "-c", build], env=env, capture_output=True, text=True, check=True).stdout
        assert json.loads(said) == here


def test_new_words_leave_the_old_ones_their_numbers(tmp_path):
    old = build_tokenizer()
    old.save_pretrained(tmp_path)
    words = ["make", "it", "paint", "remove", "turn", "into"]
    for tokenizer in (old, CLIPTokenizer.from_pretrained(tmp_path)):
        new = with_words(tokenizer, words)
        assert all(len(new.tokenize(word)) == 1 for word in [*words, *vocabulary()])
        assert all(new.get_vocab()[entry] == number for entry, number in old.get_vocab().items())
        assert sorted(new.get_vocab().values()) == list(range(len(new)))
        text = "a teddy bear with a red belly, front view"
        assert new(text).input_ids == old(text).input_ids


def test_the_tokenizer_survives_saving(tmp_path):
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    text = "a red mushroom with white dots, front view"
    assert again(text).input_ids == tokenizer(text).input_ids
