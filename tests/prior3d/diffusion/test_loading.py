"""Opening prior folders, and every way in which one can be broken."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from prior3d.diffusion.folders import check_prior_folder, role_of
from prior3d.diffusion.inpainting import load_inpainting
from prior3d.diffusion.instruct import load_instruct
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.errors import Prior3dError
from tests.tiny_prior import write_tiny_prior

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "intact")


@pytest.fixture
def folder(intact, tmp_path):
    return shutil.copytree(intact, tmp_path / "prior")


def test_stable_diffusion_1_layout(intact):
    prior = load_text_to_image(intact, CPU)
    assert (prior.latent_channels, prior.latent_size, prior.image_size, prior.scaling_factor) == (4, 8, 32, 0.5)
    assert prior.schedule.target == "epsilon" and not prior.camera_conditioned and prior.n_timesteps == 1000
    diffusion = prior.diffusion
    networks = (diffusion.unet, diffusion.vae, diffusion.prompts.text_encoder)
    assert not any(p.requires_grad for m in networks for p in m.parameters())


def test_stable_diffusion_2_layout_with_camera_and_fp16_file_names(tmp_path):
    written = write_tiny_prior(tmp_path / "p", prediction_type="v_prediction", camera=True, variant="fp16")
    assert (written / "unet" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    prior = load_text_to_image(written, CPU)
    assert prior.schedule.target == "v_prediction" and prior.camera_conditioned


def test_loading_prints_nothing_and_leaves_progress_bars_as_they_were(intact, capfd):
    from transformers.utils import logging

    logging.enable_progress_bar()
    load_text_to_image(intact, CPU)
    assert capfd.readouterr().err == "" and logging.is_progress_bar_enabled()


def test_missing_folder_and_missing_parts(folder, tmp_path):
    with pytest.raises(Prior3dError, match="nowhere: no such folder"):
        check_prior_folder(tmp_path / "nowhere", "text_to_image")
    shutil.rmtree(folder / "vae")
    with pytest.raises(Prior3dError, match="it lacks vae/"):
        check_prior_folder(folder, "text_to_image")
    (folder / "model_index.json").unlink()
    with pytest.raises(Prior3dError, match="no model_index.json"):
        check_prior_folder(folder, "text_to_image")


def test_unreadable_configuration(folder):
    (folder / "unet" / "config.json").write_text("{nonsense")
    with pytest.raises(Prior3dError, match=r"unet/config.json: not JSON"):
        check_prior_folder(folder, "text_to_image")


def test_truncated_weights_are_found_before_loading(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(Prior3dError, match="not a whole safetensors file"):
        check_prior_folder(folder, "text_to_image")


def test_pickled_weights_are_refused(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(Prior3dError, match="pickle files .diffusion_pytorch_model.bin.*never opened"):
        check_prior_folder(folder, "text_to_image")


def test_missing_weights(folder):
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(Prior3dError, match="there is no diffusion_pytorch_model.safetensors"):
        check_prior_folder(folder, "text_to_image")


def test_wrong_role(folder, tmp_path):
    with pytest.raises(Prior3dError, match=r"takes 4 channels \(text_to_image\), but inpainting needs 9"):
        check_prior_folder(folder, "inpainting")
    with pytest.raises(Prior3dError, match="role 'painting' is unknown"):
        check_prior_folder(folder, "painting")
    with pytest.raises(Prior3dError, match=r"takes 9 channels \(inpainting\), but text_to_image needs 4"):
        check_prior_folder(write_tiny_prior(tmp_path / "nine", in_channels=9), "text_to_image")


def test_text_encoder_of_another_model(folder):
    config = json.loads((folder / "text_encoder" / "config.json").read_text())
    (folder / "text_encoder" / "config.json").write_text(json.dumps(config | {"hidden_size": 32}))
    with pytest.raises(Prior3dError, match="attends to 16-wide text, but text_encoder/ makes 32-wide"):
        check_prior_folder(folder, "text_to_image")


@pytest.mark.parametrize("change", ["missing", "superfluous"])
def test_weights_that_do_not_fit_the_configuration(folder, change):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    if change == "missing":
        del tensors["conv_out.bias"]
    else:
        tensors["stranger"] = torch.zeros(1)
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(Prior3dError, match="conv_out.bias|stranger"):
        load_text_to_image(folder, CPU)


def test_weights_that_are_not_finite(folder):
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["decoder.conv_out.bias"][1] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(Prior3dError, match="decoder.conv_out.bias holds values that are not finite"):
        load_text_to_image(folder, CPU)


def test_unsupported_prediction_type(folder):
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "sample"}))
    with pytest.raises(Prior3dError, match="prediction_type 'sample'"):
        load_text_to_image(folder, CPU)


def test_tokenizer_without_words(folder):
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises(Prior3dError, match="tokenizer/ lacks tokenizer.json, or vocab.json"):
        check_prior_folder(folder, "text_to_image")


def test_tokenizer_of_another_model(folder):
    words = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    words["model"]["vocab"]["another</w>"] = len(words["model"]["vocab"])
    (folder / "tokenizer" / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(Prior3dError, match="tokenizer/ has 90 words, but text_encoder/ knows 89"):
        load_text_to_image(folder, CPU)


@pytest.mark.parametrize(("role", "channels"), [("inpainting", 9), ("instruct", 8)])
def test_conditional_priors_load_and_refuse_each_others_folders(role, channels, tmp_path, intact):
    loaders = {"inpainting": load_inpainting, "instruct": load_instruct}
    written = write_tiny_prior(tmp_path / "p", in_channels=channels, prediction_type="v_prediction")
    prior = loaders.pop(role)(written, CPU, torch.bfloat16)
    assert prior.diffusion.dtype == torch.bfloat16 and prior.diffusion.unet.config.in_channels == channels
    assert prior.diffusion.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    other = loaders.popitem()[1]
    for folder, load in ((written, other), (written, load_text_to_image), (intact, other)):
        with pytest.raises(Prior3dError, match=r"channels \(\w+\), but \w+ needs"):
            load(folder, CPU)
    weights = written / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(Prior3dError, match="pickle files"):
        {"inpainting": load_inpainting, "instruct": load_instruct}[role](written, CPU)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ({"_class_name": "StableDiffusionXLPipeline"}, "SDXL's layout"),
        ({"_class_name": "Custom", "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}, "SDXL's layout"),
        ({"_class_name": "StableDiffusion3Pipeline", "transformer": ["diffusers", "X"]}, "Stable Diffusion 3: a flow"),
        ({"_class_name": "FluxPipeline", "transformer": ["diffusers", "X"]}, "FLUX: a flow-matching transformer"),
        ({"_class_name": "PixArtAlphaPipeline", "transformer": ["diffusers", "X"]}, "a diffusion transformer in place"),
    ],
)
def test_kinds_that_cannot_serve_are_refused_by_name(folder, index, said):
    (folder / "model_index.json").write_text(json.dumps(index))
    for check in (lambda: check_prior_folder(folder, "text_to_image"), lambda: role_of(folder)):
        with pytest.raises(
            Prior3dError, match=f"a {index['_class_name']}, which cannot serve as a prior here"
        ) as found:
            check()
        assert said in str(found.value) and "give a pipeline of Stable Diffusion 1.x or 2.x" in str(found.value)


def test_an_empty_second_component_is_no_reason_to_refuse(folder):
    file = folder / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"text_encoder_2": [None, None]}))
    check_prior_folder(folder, "text_to_image")


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_in_several_files(tmp_path, variant):
    """As large priors are shared: an index names the shards, with or without `.fp16` in their names."""
    whole = write_tiny_prior(tmp_path / "whole", variant=variant)
    shards = write_tiny_prior(tmp_path / "shards", variant=variant, max_shard_size="40KB")
    infix = f".{variant}" if variant else ""
    names = {file.name for file in (shards / "unet").iterdir()}
    assert f"diffusion_pytorch_model.safetensors.index{infix}.json" in names and len(names) > 3
    one, other = (load_text_to_image(folder, torch.device("cpu")) for folder in (whole, shards))
    for name in ("unet", "vae"):
        first, second = (getattr(prior.diffusion, name).state_dict() for prior in (one, other))
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(one.embed(["a red ball"]), other.embed(["a red ball"]))
    torn = sorted((shards / "unet").glob("*.safetensors"))[1]
    torn.write_bytes(torn.read_bytes()[:-10])
    with pytest.raises(Prior3dError, match=rf"{torn.name}: \d+ bytes, which are not a whole safetensors file"):
        load_text_to_image(shards, torch.device("cpu"))


def test_folders_of_older_versions_are_the_same_priors(folder, intact):
    """The autoencoder's attention had other names, and the text encoder's positions lay beside its weights."""
    older = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights, renamed = load_file(file), {}
    for name, tensor in weights.items():
        for new, old in older.items():
            name = name.replace(new, old)
        renamed[name] = tensor
    assert len(renamed.keys() - weights.keys()) == 16  # weights and biases of both halves
    save_file(renamed, file, {"format": "pt"})
    file = folder / "text_encoder" / "model.safetensors"
    positions = {"text_model.embeddings.position_ids": torch.arange(16)[None]}
    save_file(load_file(file) | positions, file, {"format": "pt"})
    one, other = (load_text_to_image(place, CPU) for place in (intact, folder))
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one.encode(images), other.encode(images))
    assert torch.equal(one.embed(["a red ball"]), other.embed(["a red ball"]))
