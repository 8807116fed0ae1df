"""MVDream's network (Shi et al. 2023) as a joint-view prior: its folders keep the names of latent-diffusion's code.

It is a UNet2DConditionModel whose self-attention spans a set, and whose class embedding is the camera's; so its weights
only need diffusers' names, which diffusers' own converter of such checkpoints gives them.
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from prior3d.cameras import Orbit, orbit_cameras
from prior3d.diffusion.camera_embedding import CAMERA_DIM
from prior3d.diffusion.folders import read_json, weight_files
from prior3d.errors import Prior3dError

CLASS = "MVDreamPipeline"
# Directions alone reach the network; distance and field of view varied in its training, together, so that the object
# filled the image alike. These are what the authors' code for 3D evaluates with, for an object in a ball of radius 1.
RADIUS, FOV_DEG = 3.0, 40.0
TEXT_SUFFIX = ", 3d asset"  # which the authors' scripts add to every text
NUMBERS = (
    "in_channels", "out_channels", "model_channels", "num_res_blocks", "num_head_channels", "context_dim", "camera_dim",
)  # fmt: skip
LISTS = ("channel_mult", "attention_resolutions")
PREFIX = "model.diffusion_model."  # which the converter expects before every name


def mvdream_camera(cameras: Orbit) -> Float[Tensor, "frames 16"]:
    """Camera-to-world matrices, row by row, with positions at distance 1: z is up, and +x sees the front, as here."""
    c2w = orbit_cameras(cameras, 1, 1).c2w.clone()
    c2w[:, :3, 3] /= cameras.radius[:, None]
    return c2w.flatten(1)


def mvdream_config(folder: Path) -> dict[str, Any]:
    """The settings of a UNet2DConditionModel that is the network of an MVDream folder, without reading a tensor.

    Raises:
        Prior3dError: settings are missing, or the network is ImageDream's or of another shape.
    """
    given = read_json(folder / "unet" / "config.json")
    lists = {name: given.get(name) if isinstance(given.get(name), list) else [None] for name in LISTS}
    found = {name: [given.get(name)] for name in NUMBERS} | lists
    wrong = [name for name, values in found.items() if not values or not all(map(_is_whole, values))]
    if wrong:
        raise Prior3dError(
            f"prior {folder}: unet/config.json has no whole numbers for {', '.join(wrong)}; an MVDream folder's has "
            "the settings of MultiViewUNetModel"
        )
    if given.get("ip_dim", 0):
        raise Prior3dError(f"prior {folder}: it is ImageDream, which sees an image's features; give an MVDream folder")
    if given["camera_dim"] != CAMERA_DIM:
        raise Prior3dError(f"prior {folder}: its cameras have {given['camera_dim']} numbers, not {CAMERA_DIM}")
    widths = [given["model_channels"] * factor for factor in given["channel_mult"]]
    attends = [2**level in given["attention_resolutions"] for level in range(len(widths))]
    down = ["CrossAttnDownBlock2D" if attention else "DownBlock2D" for attention in attends]
    up = ["CrossAttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(attends)]
    return {
        "sample_size": given.get("image_size", 32),
        "in_channels": given["in_channels"],
        "out_channels": given["out_channels"],
        "block_out_channels": widths,
        "layers_per_block": given["num_res_blocks"],
        "down_block_types": down,
        "up_block_types": up,
        "cross_attention_dim": given["context_dim"],
        "attention_head_dim": [width // given["num_head_channels"] for width in widths],  # diffusers: numbers of heads
        "transformer_layers_per_block": given.get("transformer_depth", 1),
        "use_linear_projection": True,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": CAMERA_DIM,
    }


def _is_whole(value: object) -> bool:
    """Whether a setting is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def load_mvdream_unet(network_class: Any, folder: Path, dtype: torch.dtype) -> Any:
    """The frozen network of an MVDream folder, as a SetUNet.

    Raises:
        Prior3dError: settings, or weights that are missing, misshapen, superfluous or not finite.
    """
    # seconds to import, and only loading needs it
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    config = mvdream_config(folder)
    weights: dict[str, Tensor] = {}
    for file in weight_files(folder / "unet", "unet")[0]:
        weights |= {name: tensor.to(dtype) for name, tensor in load_file(file).items()}
    named = {PREFIX + name.replace("camera_embed.", "label_emb.0."): tensor for name, tensor in weights.items()}
    try:
        with torch.device("meta"):  # no random weights first: there are 866 million
            unet = network_class.from_config(config)
        unet.load_state_dict(convert_ldm_unet_checkpoint(named, config), strict=True, assign=True)
    except Exception as error:  # the converter raises many kinds on weights of another network
        reason = " ".join(str(error).split())[:200]
        raise Prior3dError(
            f"prior component {folder / 'unet'}: its weights are not those of its config.json ({reason})"
        ) from error
    for name, tensor in unet.named_parameters():
        if not torch.isfinite(tensor).all():
            raise Prior3dError(f"prior component {folder / 'unet'}: {name} holds values that are not finite")
    return unet.requires_grad_(False).eval()
