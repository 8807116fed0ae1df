"""A randomly initialised CLIP of toy width, in the folder that transformers writes."""

import torch

from tests.tiny_prior import tiny_tokenizer


def write_tiny_scorer(folder):
    """A random CLIP of toy width with its tokenizer, as transformers writes it."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = tiny_tokenizer(folder / "tokenizer-source")
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "bos_token_id": tokenizer.bos_token_id}
    text |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    vision = {"image_size": 16, "patch_size": 8}
    config = CLIPConfig(projection_dim=12, text_config=shape | text, vision_config=shape | vision)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=size).save_pretrained(folder)
    return folder
