"""The layouts of Stable Diffusion 1.x and 2.x, inpainting and InstructPix2Pix at full width: shapes alone."""

import json

import pytest
import torch

from prior3d.diffusion.folders import check_channels, role_of
from prior3d.diffusion.inpainting import InpaintingPrior, InpaintSettings
from prior3d.diffusion.instruct import EditSettings, InstructPrior
from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.prompt_encoder import PromptEncoder
from prior3d.diffusion.scheduling import diffusion_schedule
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.errors import Prior3dError
from tests.tiny_prior import tiny_tokenizer

UNET_1 = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
UNET_2 = UNET_1 | {
    "sample_size": 96,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
}
TEXT_1 = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
TEXT_2 = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 23}
LAYOUTS = {
    "text_to_image": (UNET_1, TEXT_1, "epsilon"),
    "text_to_image v": (UNET_2, TEXT_2, "v_prediction"),
    "inpainting": (UNET_1 | {"in_channels": 9}, TEXT_1, "epsilon"),
    "inpainting 2": (UNET_2 | {"in_channels": 9, "sample_size": 64}, TEXT_2, "epsilon"),
    "instruct": (UNET_1 | {"in_channels": 8}, TEXT_1, "epsilon"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_roles(layout, tmp_path):
    unet, text, _ = LAYOUTS[layout]
    (tmp_path / "model_index.json").write_text("{}")
    for name, config in (("unet", unet), ("vae", VAE), ("text_encoder", text)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    role = layout.split()[0]
    assert role_of(tmp_path) == role
    for other in ("text_to_image", "inpainting", "instruct"):
        if other == role:
            check_channels(tmp_path, other)
        else:
            with pytest.raises(Prior3dError, match=rf"channels \({role}\), but {other} needs"):
                check_channels(tmp_path, other)


def test_what_is_no_prior_has_no_role(tmp_path):
    with pytest.raises(Prior3dError, match="neither a diffusers pipeline"):
        role_of(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    assert role_of(tmp_path) == "scorer"
    (tmp_path / "model_index.json").write_text("{}")
    for name, config in (("unet", {"in_channels": 7}), ("vae", VAE)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    with pytest.raises(Prior3dError, match="takes 7 channels, which is no known role: text_to_image 4, inpainting 9"):
        role_of(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_shapes(layout, tmp_path):
    diffusion = on_the_meta_device(layout, tmp_path)
    side, generator = diffusion.image_size, torch.Generator()
    assert side == 8 * diffusion.unet.config.sample_size and not diffusion.camera_conditioned
    images = torch.zeros(2, 3, side, side)
    match layout.split()[0]:
        case "text_to_image":
            prior = TextToImagePrior(diffusion)
            made = prior.sample(["a red ball", "a cube"], num_inference_steps=2, generator=generator)
        case "inpainting":
            masks, settings = torch.ones(2, 1, side, side), InpaintSettings(num_inference_steps=2)
            made = InpaintingPrior(diffusion).inpaint(
                images, masks, ["a ball", "a cube"], settings, generator=generator
            )
        case "instruct":
            settings = EditSettings(num_inference_steps=2)
            made = InstructPrior(diffusion).edit(images, images, ["a red ball"], settings, generator=generator)
    assert made.shape == images.shape and made.device.type == "meta"


def on_the_meta_device(layout, folder):
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    unet, text, prediction_type = LAYOUTS[layout]
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", prediction_type=prediction_type)
    with torch.device("meta"):
        networks = {
            "unet": UNet2DConditionModel(**unet),
            "vae": AutoencoderKL(**VAE),
            "text_encoder": CLIPTextModel(CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, **text)),
        }
    prompts = PromptEncoder(networks.pop("text_encoder"), tiny_tokenizer(folder / "words"))
    return LatentDiffusion(**networks, schedule=diffusion_schedule(scheduler, torch.device("meta")), prompts=prompts)
