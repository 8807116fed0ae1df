"""A randomly initialised MVDream folder: the layout and the names of the public ones, at a tenth of their widths."""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

from tests.tiny_prior import write_tiny_prior

# The settings of the public folders, at a tenth of their widths; an unused one stands for those that say nothing here.
CONFIG = {
    "_class_name": "MultiViewUNetModel", "image_size": 8, "in_channels": 4, "out_channels": 4, "model_channels": 32,
    "attention_resolutions": [2, 1], "num_res_blocks": 2, "channel_mult": [1, 2], "num_head_channels": 16,
    "transformer_depth": 1, "context_dim": 16, "use_checkpoint": False, "camera_dim": 16,
}  # fmt: skip


# The same of the public folders, at their widths: sd-v2.1-base-4view.
PUBLIC = CONFIG | {
    "image_size": 32, "model_channels": 320, "attention_resolutions": [4, 2, 1], "channel_mult": [1, 2, 4, 4],
    "num_head_channels": 64, "context_dim": 1024,
}  # fmt: skip


def ldm_names(unet):
    """Weights of a SetUNet under the names of latent-diffusion's code, written out from its order of blocks."""
    names = {
        "conv_in.": "input_blocks.0.0.", "time_embedding.linear_1.": "time_embed.0.",
        "time_embedding.linear_2.": "time_embed.2.", "class_embedding.linear_1.": "camera_embed.0.",
        "class_embedding.linear_2.": "camera_embed.2.", "conv_norm_out.": "out.0.", "conv_out.": "out.2.",
        "mid_block.resnets.0.": "middle_block.0.", "mid_block.attentions.0.": "middle_block.1.",
        "mid_block.resnets.1.": "middle_block.2.",
    }  # fmt: skip
    up_types = unet.config.up_block_types
    for block in range(len(up_types)):
        for layer in range(2):
            names[f"down_blocks.{block}.resnets.{layer}."] = f"input_blocks.{1 + 3 * block + layer}.0."
            names[f"down_blocks.{block}.attentions.{layer}."] = f"input_blocks.{1 + 3 * block + layer}.1."
        names[f"down_blocks.{block}.downsamplers.0.conv."] = f"input_blocks.{3 + 3 * block}.0.op."
        for layer in range(3):
            names[f"up_blocks.{block}.resnets.{layer}."] = f"output_blocks.{3 * block + layer}.0."
            names[f"up_blocks.{block}.attentions.{layer}."] = f"output_blocks.{3 * block + layer}.1."
        place = 2 if "CrossAttn" in up_types[block] else 1  # behind the attention, where there is one
        names[f"up_blocks.{block}.upsamplers.0.conv."] = f"output_blocks.{3 * block + 2}.{place}.conv."
    inner = {
        "norm1.": "in_layers.0.", "conv1.": "in_layers.2.", "time_emb_proj.": "emb_layers.1.",
        "norm2.": "out_layers.0.", "conv2.": "out_layers.3.", "conv_shortcut.": "skip_connection.",
    }  # fmt: skip
    renamed = {}
    for name, tensor in unet.state_dict().items():
        start = next(key for key in names if name.startswith(key))
        rest = name.removeprefix(start)
        if ".resnets." in start:
            part = next(key for key in inner if rest.startswith(key))
            rest = inner[part] + rest.removeprefix(part)
        renamed[names[start] + rest] = tensor.half().contiguous()
    return renamed


def tiny_set_unet():
    """The network that the folder is read as."""
    from prior3d.diffusion.joint_unet import SetUNet

    torch.manual_seed(0)
    return SetUNet(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=2, block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=16, attention_head_dim=(2, 4), use_linear_projection=True, class_embed_type="projection",
        projection_class_embeddings_input_dim=16,
    ).half().float().eval()  # fmt: skip


def write_tiny_mvdream(where, unet=None):
    """All but the U-Net is a tiny text-to-image prior's."""
    write_tiny_prior(where)
    shutil.rmtree(where / "unet")
    (where / "unet").mkdir()
    save_file(ldm_names(unet or tiny_set_unet()), where / "unet" / "diffusion_pytorch_model.safetensors")
    (where / "unet" / "config.json").write_text(json.dumps(CONFIG))
    index = json.loads((where / "model_index.json").read_text())
    index |= {"_class_name": "MVDreamPipeline", "unet": ["mv_unet", "MultiViewUNetModel"]}
    (where / "model_index.json").write_text(json.dumps(index))
    return where


def draw_on_black(folder):
    """Let a folder's decoder show black but where its numbers are high: so random drawings have a background."""
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["decoder.conv_out.bias"].fill_(-1.3)
    save_file(weights, file, {"format": "pt"})
