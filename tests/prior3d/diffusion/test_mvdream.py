"""MVDream's folders, with random weights at tiny width: names, cameras, what is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from prior3d.diffusion.folders import role_of
from prior3d.diffusion.joint_text import JointTextPrior
from prior3d.diffusion.joint_views import load_joint_views
from prior3d.diffusion.mvdream import mvdream_camera
from prior3d.distillation.losses import Distillation
from prior3d.distillation.view_sampler import ViewSampler
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings, X0Loss
from tests.tiny_prior import write_tiny_prior

CPU = torch.device("cpu")
# The settings of the public folders, at a tenth of their widths; an unused one stands for those that say nothing here.
CONFIG = {
    "_class_name": "MultiViewUNetModel", "image_size": 8, "in_channels": 4, "out_channels": 4, "model_channels": 32,
    "attention_resolutions": [2, 1], "num_res_blocks": 2, "channel_mult": [1, 2], "num_head_channels": 16,
    "transformer_depth": 1, "context_dim": 16, "use_checkpoint": False, "camera_dim": 16,
}  # fmt: skip


def ldm_names(unet):
    """Weights of a SetUNet under the names of latent-diffusion's code, written out from its order of blocks."""
    names = {
        "conv_in.": "input_blocks.0.0.", "time_embedding.linear_1.": "time_embed.0.",
        "time_embedding.linear_2.": "time_embed.2.", "class_embedding.linear_1.": "camera_embed.0.",
        "class_embedding.linear_2.": "camera_embed.2.", "conv_norm_out.": "out.0.", "conv_out.": "out.2.",
        "mid_block.resnets.0.": "middle_block.0.", "mid_block.attentions.0.": "middle_block.1.",
        "mid_block.resnets.1.": "middle_block.2.", "down_blocks.0.downsamplers.0.conv.": "input_blocks.3.0.op.",
        "up_blocks.0.upsamplers.0.conv.": "output_blocks.2.2.conv.",
    }  # fmt: skip
    for block, first in ((0, 1), (1, 4)):
        for layer in range(2):
            names[f"down_blocks.{block}.resnets.{layer}."] = f"input_blocks.{first + layer}.0."
            names[f"down_blocks.{block}.attentions.{layer}."] = f"input_blocks.{first + layer}.1."
    for block in range(2):
        for layer in range(3):
            names[f"up_blocks.{block}.resnets.{layer}."] = f"output_blocks.{3 * block + layer}.0."
            names[f"up_blocks.{block}.attentions.{layer}."] = f"output_blocks.{3 * block + layer}.1."
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


@pytest.fixture(scope="module")
def unet():
    from prior3d.diffusion.joint_unet import SetUNet

    torch.manual_seed(0)
    return SetUNet(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=2, block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=16, attention_head_dim=(2, 4), use_linear_projection=True, class_embed_type="projection",
        projection_class_embeddings_input_dim=16,
    ).half().float().eval()  # fmt: skip


@pytest.fixture
def folder(unet, tmp_path):
    where = write_tiny_prior(tmp_path / "mvdream")
    shutil.rmtree(where / "unet")
    (where / "unet").mkdir()
    save_file(ldm_names(unet), where / "unet" / "diffusion_pytorch_model.safetensors")
    (where / "unet" / "config.json").write_text(json.dumps(CONFIG))
    index = json.loads((where / "model_index.json").read_text())
    index |= {"_class_name": "MVDreamPipeline", "unet": ["mv_unet", "MultiViewUNetModel"]}
    (where / "model_index.json").write_text(json.dumps(index))
    return where


def test_its_network_is_read_under_other_names(folder, unet):
    prior = load_joint_views(folder, CPU)
    read, written = prior.diffusion.unet.state_dict(), unet.state_dict()
    assert read.keys() == written.keys() and all(torch.equal(read[name], written[name]) for name in written)
    assert role_of(folder) == "joint_views" and not prior.takes_given and prior.latent_size == 8
    assert not any(parameter.requires_grad for parameter in prior.diffusion.unet.parameters())


def test_it_draws_sets_and_takes_no_given_views(folder):
    prior = load_joint_views(folder, CPU)
    orbit = prior.orbit(torch.tensor([0.0, 90.0, 180.0, 270.0]), torch.full((4,), 15.0))
    asked = {"null_text": prior.embed([""]), "guidance_scale": 5.0, "num_inference_steps": 2}
    drawn = prior.sample(prior.embed(["a red ball"]), orbit, generator=torch.Generator().manual_seed(0), **asked)
    assert drawn.shape == (4, 3, 32, 32) and torch.isfinite(drawn).all()
    with pytest.raises(Prior3dError, match="1 given images, but this prior takes none: its UNet has no channels"):
        prior.ask(prior.embed(["a red ball"]), orbit, given=drawn[:1])


def test_a_step_of_distillation_asks_it_for_a_ring(folder):
    prior = JointTextPrior(load_joint_views(folder, CPU))
    settings = SdsSettings(guidance_scale=50.0, loss=X0Loss())
    views = ViewSettings(per_step=4, radius=(1.0, 1.5), fov_deg=(40.0, 70.0))  # not its own cameras: directions count
    sampler = ViewSampler(prior, "a corgi", views, PromptSettings(view_words=False), settings, named_backgrounds=False)
    step = Distillation(sampler, Seeds(0), settings, "latent")(
        lambda cameras, batch: torch.zeros((4, 4, prior.latent_size, prior.latent_size), requires_grad=True), 0.0
    )
    step.loss.backward()
    assert len(step.timesteps.unique()) == 1 and torch.isfinite(step.loss) and step.target.std() > 0


def test_cameras_are_matrices_at_distance_one(folder):
    prior = load_joint_views(folder, CPU)
    matrices = mvdream_camera(prior.orbit(torch.tensor([0.0, 90.0]), torch.tensor([0.0, 30.0]))).view(2, 4, 4)
    torch.testing.assert_close(matrices[0, :3, 3], torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0)
    half, high = 0.5, 0.75**0.5
    torch.testing.assert_close(matrices[1, :3, 3], torch.tensor([0.0, high, half]), atol=1e-6, rtol=0)
    torch.testing.assert_close(matrices[:, :3, :3] @ matrices[:, :3, :3].mT, torch.eye(3).expand(2, 3, 3))
    torch.testing.assert_close(matrices[0, :3, 1], torch.tensor([0.0, 0, 1]), atol=1e-6, rtol=0)  # up
    assert matrices[:, 3].tolist() == [[0, 0, 0, 1]] * 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"camera_dim": None}, "unet/config.json has no whole numbers for camera_dim; an MVDream folder's has"),
        ({"channel_mult": [1, "x"]}, "no whole numbers for channel_mult"),
        ({"channel_mult": 2, "num_res_blocks": -1}, "no whole numbers for num_res_blocks, channel_mult"),
        ({"model_channels": 33}, r"its weights are not those of its config.json \("),
        ({"camera_dim": 12}, "its cameras have 12 numbers, not 16"),
        ({"ip_dim": 16}, "it is ImageDream, which sees an image's features"),
        ({"num_res_blocks": 1}, r"its weights are not those of its config.json \("),
        ({"context_dim": 24}, r"its weights are not those of its config.json \("),
    ],
)
def test_folders_that_do_not_fit(folder, settings, message):
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps(CONFIG | settings))
    with pytest.raises(Prior3dError, match=message) as raised:
        load_joint_views(folder, CPU)
    assert "\n" not in str(raised.value)


def test_broken_weights(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({name: tensor for name, tensor in weights.items() if "camera_embed" not in name}, file)
    with pytest.raises(Prior3dError, match="its weights are not those of its config.json"):
        load_joint_views(folder, CPU)
    weights["out.2.bias"][0] = float("nan")
    save_file(weights, file)
    with pytest.raises(Prior3dError, match="conv_out.bias holds values that are not finite"):
        load_joint_views(folder, CPU)
