"""Randomly initialised Stable Diffusion folders of toy width, written by diffusers and transformers themselves."""

import json
from pathlib import Path

import torch

from prior3d.diffusion.camera_embedding import CAMERA_DIM

WORDS = [
    "a",
    "red",
    "ball",
    "cube",
    "front",
    "side",
    "back",
    "overhead",
    "view",
    "white",
    "grey",
    "black",
    "background",
    ",",
]


def write_tiny_prior(
    folder: Path,
    *,
    prediction_type: str = "epsilon",
    camera: bool = False,
    in_channels: int = 4,
    sample_size: int = 8,
    variant: str | None = None,
    max_shard_size: str = "10GB",
    seed: int = 0,
) -> Path:
    """Write a pipeline folder: VAE f=4, one-layer UNet, CLIP text encoder with a word-level vocabulary."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=in_channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(16, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=8,
        class_embed_type="projection" if camera else None,
        projection_class_embeddings_input_dim=CAMERA_DIM if camera else None,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        sample_size=sample_size * 4,
        scaling_factor=0.5,
    )
    tokenizer = tiny_tokenizer(folder / "tokenizer-source")
    text_config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    pipeline = StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=CLIPTextModel(text_config),
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type=prediction_type,
            steps_offset=1,
            clip_sample=False,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True, variant=variant, max_shard_size=max_shard_size)
    return folder


def tiny_tokenizer(folder: Path):
    """A CLIPTokenizer whose every entry is one whole word."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    characters = sorted(set("".join(WORDS)))
    entries = characters + [c + "</w>" for c in characters]
    merges = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merge = f"{pieces[0]} {pieces[1]}"
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
            if merge not in merges:
                merges.append(merge)
                entries.append(pieces[0])
    vocabulary = {
        entry: index for index, entry in enumerate(dict.fromkeys(entries + ["<|startoftext|>", "<|endoftext|>"]))
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
