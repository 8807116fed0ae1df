"""Priors of Stable Diffusion 1.5's layout and size, or tiny ones, with random weights that the device itself draws."""

import json
from pathlib import Path
from typing import Any

import torch

SD15: dict[str, dict[str, Any]] = {
    "unet": {"sample_size": 64, "cross_attention_dim": 768},  # the rest of SD 1.5 is diffusers' default
    "vae": {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 512,
    },
    "text": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
}
TINY: dict[str, dict[str, Any]] = {
    "unet": {
        "sample_size": 8,
        "cross_attention_dim": 16,
        "layers_per_block": 1,
        "block_out_channels": (16, 16),
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    },
    "vae": {
        "block_out_channels": (8, 8, 8),
        "norm_num_groups": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "latent_channels": 4,
        "sample_size": 32,
    },
    "text": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
}
CHANNELS = {"text-to-image": 4, "inpainting": 9, "instruct": 8}  # that the U-Net takes


def write_random_prior(
    folder: Path, device: torch.device, *, tiny: bool = False, role: str = "text-to-image", seed: int = 0
) -> Path:
    """Write a diffusers folder with weights of 16 bits (32 on a CPU), drawn on the device in seconds."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = TINY if tiny else SD15
    torch.manual_seed(seed)
    tokenizer = spelling_tokenizer(folder / "tokenizer-source")
    with device:
        unet = UNet2DConditionModel(in_channels=CHANNELS[role], out_channels=4, attention_head_dim=8, **sizes["unet"])
        vae = AutoencoderKL(**sizes["vae"])
        text = CLIPTextModel(CLIPTextConfig(vocab_size=49_408, max_position_embeddings=77, **sizes["text"]))
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    pipeline = StableDiffusionPipeline(
        unet=unet.to(dtype),
        vae=vae.to(dtype),
        text_encoder=text.to(dtype),
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def spelling_tokenizer(folder: Path) -> Any:
    """A CLIPTokenizer that spells every word."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(33, 127)]
    entries = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({entry: index for index, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
