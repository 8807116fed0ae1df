"""Folders of joint-view priors: their role, their network on disk, and every way in which they can be broken."""

import copy
import json
import shutil

import pytest
import torch

from prior3d.diffusion.folders import check_channels, check_named, role_of
from prior3d.diffusion.joint_unet import JointUNet
from prior3d.diffusion.joint_views import load_joint_views
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.errors import Prior3dError
from tests.tiny_joint_views import tiny_joint_unet, write_tiny_joint_views
from tests.tiny_prior import write_tiny_prior

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return write_tiny_joint_views(tmp_path_factory.mktemp("priors") / "mv")


@pytest.fixture
def folder(intact, tmp_path):
    return shutil.copytree(intact, tmp_path / "mv")


def call(unet, frames, layout):
    """The first of ten frames, the same for any number."""
    generator = torch.Generator().manual_seed(2)
    sample, text = torch.randn(10, 11, 8, 8, generator=generator), torch.randn(10, 5, 16, generator=generator)
    camera, at = torch.randn(10, 16, generator=generator), torch.arange(10) * 100
    sample, text, camera, at = (x[:frames] for x in (sample, text, camera, at))
    with torch.no_grad():
        return unet(sample, at, text, class_labels=camera, layout=layout, return_dict=False)[0]


def test_sets_of_several_sizes_in_one_batch_are_what_they_are_alone():
    unet = tiny_joint_unet().eval()
    mixed = call(unet, 10, ((2, 3), (1, 4)))
    torch.testing.assert_close(call(unet, 3, ((1, 3),)), mixed[:3], atol=1e-5, rtol=1e-4)
    assert (call(unet, 10, None)[:3] - mixed[:3]).abs().max() > 1e-3
    with pytest.raises(Prior3dError, match=r"the sets \(\(2, 3\),\) hold 6 frames, but the batch has 10"):
        call(unet, 10, ((2, 3),))


def test_joint_blocks_begin_as_nothing_and_copies_are_their_own():
    """A copy with other joint blocks computes with its own: an averaged network is a deep copy."""
    unet = tiny_joint_unet().eval()
    plain = copy.deepcopy(unet)
    for block in plain.joint:
        torch.nn.init.zeros_(block.out.weight)
    before = call(unet, 4, ((1, 4),))
    assert (call(plain, 4, ((1, 4),)) - before).abs().max() > 1e-4 and torch.equal(call(unet, 4, ((1, 4),)), before)
    fresh = JointUNet.from_config(unet.config)
    assert all(block.out.weight.abs().max() == 0 for block in fresh.joint)


def test_weights_survive_the_folder(intact):
    prior = load_joint_views(intact, CPU)
    written = tiny_joint_unet().eval()
    torch.testing.assert_close(
        call(prior.diffusion.unet, 4, ((1, 4),)), call(written, 4, ((1, 4),)), atol=1e-5, rtol=1e-4
    )
    assert (prior.radius, prior.fov_deg, prior.takes_given, prior.image_size) == (3.2, 40.0, True, 32)
    assert not any(p.requires_grad for p in prior.diffusion.unet.parameters())


def test_half_precision_networks(intact):
    asked = {"num_inference_steps": 1}
    drawn = []
    for dtype in (torch.float32, torch.bfloat16):
        prior = load_joint_views(intact, CPU, dtype)
        orbit = prior.orbit(torch.tensor([0.0, 90.0]), torch.zeros(2))
        text = prior.embed(["a red ball"])
        drawn.append(prior.sample(text, orbit, generator=torch.Generator().manual_seed(0), **asked))
    assert drawn[1].dtype == torch.float32 and (drawn[0] - drawn[1]).abs().mean() < 0.05


def test_roles_are_told_apart(intact, tmp_path):
    other = write_tiny_prior(tmp_path / "text")
    assert role_of(intact) == "joint_views" and role_of(other) == "text_to_image"
    with pytest.raises(Prior3dError, match="draws several views of a thing together, but text_to_image is"):
        load_text_to_image(intact, CPU)
    with pytest.raises(Prior3dError, match="together, but inpainting is needed"):
        check_channels(intact, "inpainting")
    with pytest.raises(Prior3dError, match="it is a JointViewsPrior, but views is needed; give a views prior"):
        check_named(intact, "views")
    with pytest.raises(Prior3dError, match="a StableDiffusionPipeline, but joint_views is needed; .* e.g. toy-mv"):
        load_joint_views(other, CPU)


def edit(file, **entries):
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


def test_broken_folders(folder):
    with pytest.raises(Prior3dError, match="no such folder"):
        load_joint_views(folder / "none", CPU)
    edit(folder / "model_index.json", fov_deg=None)
    with pytest.raises(Prior3dError, match="model_index.json must say its cameras' own fov_deg; add the number"):
        load_joint_views(folder, CPU)
    edit(folder / "model_index.json", fov_deg=float("nan"))
    with pytest.raises(Prior3dError, match="fov_deg"):
        load_joint_views(folder, CPU)
    edit(folder / "model_index.json", fov_deg=40.0)
    edit(folder / "unet" / "config.json", in_channels=9)
    with pytest.raises(Prior3dError, match="takes 9 channels, but a joint-view prior's takes 11"):
        load_joint_views(folder, CPU)
    edit(folder / "unet" / "config.json", in_channels=11, cross_attention_dim=24)
    with pytest.raises(Prior3dError, match="attends to 24-wide text"):
        load_joint_views(folder, CPU)
    shutil.rmtree(folder / "vae")
    with pytest.raises(Prior3dError, match="it lacks vae/; complete the folder"):
        load_joint_views(folder, CPU)


def test_weights_that_lack_the_joint_blocks_are_refused(folder):
    from safetensors.torch import load_file, save_file

    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if not k.startswith("joint.1")}, file, {"format": "pt"})
    with pytest.raises(Prior3dError, match="weights lack joint.1"):
        load_joint_views(folder, CPU)
