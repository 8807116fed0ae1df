"""A randomly initialised views prior of toy width, in the folder that the training stage writes."""

import json
from pathlib import Path

import torch

from prior3d.diffusion.epipolar import EpipolarConfig, EpipolarTransformer

TINY = EpipolarConfig(image_size=32, channels=(8, 8, 8), gathered=8, width=16, depth_samples=4, features=4)


def tiny_transformer(seed: int = 0) -> EpipolarTransformer:
    """In training mode."""
    torch.manual_seed(seed)
    return EpipolarTransformer(TINY)


def write_tiny_views(folder: Path, prediction_type: str = "v_prediction") -> Path:
    """UNet and VAE by diffusers, the epipolar transformer by its own writer."""
    from diffusers import DDIMScheduler, UNet2DModel

    from prior3d.diffusion.own_networks import save_own

    save_own(tiny_transformer(), folder / "epipolar")
    torch.manual_seed(1)
    UNet2DModel(
        sample_size=TINY.rays,
        in_channels=8 + TINY.features,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
    ).save_pretrained(folder / "unet")
    write_tiny_vae(folder / "vae")
    DDIMScheduler(beta_schedule="scaled_linear", prediction_type=prediction_type, clip_sample=False).save_pretrained(
        folder / "scheduler"
    )
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "ViewsPrior"}))
    return folder


def write_tiny_vae(folder: Path) -> None:
    """32x32 images to 8x8x4 latents."""
    from diffusers import AutoencoderKL

    AutoencoderKL(
        block_out_channels=(8, 8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        sample_size=32,
        scaling_factor=0.5,
        mid_block_add_attention=False,
    ).save_pretrained(folder)
