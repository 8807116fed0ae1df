"""The networks of the text-to-image model, untrained."""

from typing import Any

from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from prior3d.diffusion.camera_embedding import CAMERA_DIM
from stages.training.text_to_image import Params


def build_unet(params: Params) -> Any:
    """A UNet2DConditionModel that sees text by cross-attention and the camera as a class embedding."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=params.channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=params.text_width,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        class_embed_type="projection",
        projection_class_embeddings_input_dim=CAMERA_DIM,
    )


def build_text_encoder(params: Params, tokenizer: Any) -> Any:
    """A CLIPTextModel of two layers for the tokenizer's words."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=params.text_width,
        intermediate_size=4 * params.text_width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=params.text_width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)
