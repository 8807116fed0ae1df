"""A randomly initialised joint-view prior of toy width, in the folder that the training stage writes."""

import json
import shutil
from pathlib import Path

import torch

from prior3d.diffusion.camera_embedding import CAMERA_DIM
from tests.tiny_prior import write_tiny_prior


def tiny_joint_unet(seed: int = 0):
    """As JointUNet makes it, but with joint blocks that do something."""
    from prior3d.diffusion.joint_unet import JointUNet

    torch.manual_seed(seed)
    unet = JointUNet(
        sample_size=8,
        in_channels=11,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(16, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=CAMERA_DIM,
    )
    for block in unet.joint:
        torch.nn.init.normal_(block.out.weight, std=0.2)
    return unet


def write_tiny_joint_views(folder: Path, seed: int = 0) -> Path:
    """All but the U-Net is a tiny text-to-image prior's."""
    write_tiny_prior(folder, prediction_type="v_prediction", camera=True)
    shutil.rmtree(folder / "unet")
    tiny_joint_unet(seed).save_pretrained(folder / "unet")
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"_class_name": "JointViewsPrior", "camera_radius": 3.2, "fov_deg": 40.0}
    index["unet"] = ["prior3d.diffusion.joint_unet", "JointUNet"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
