"""What is fetched of a model hub's repository: the files that a prior is read from, and nothing beside them."""

import huggingface_hub
import pytest

from flows.engine.hub import from_hub, wanted_files
from prior3d.errors import Prior3dError

SMALL = [
    "model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json", "text_encoder/config.json", "unet/config.json", "vae/config.json",
]  # fmt: skip
BESIDE = [
    "README.md", "v1-5-pruned.safetensors", "v1-5-pruned-emaonly.safetensors", "v1-inference.yaml",
    "safety_checker/config.json", "safety_checker/model.safetensors", "feature_extractor/preprocessor_config.json",
    "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_pytorch_model.bin",
]  # fmt: skip
STEMS = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")


def full(infix: str = "") -> list[str]:
    return [f"{stem}{infix}.safetensors" for stem in STEMS]


def test_one_set_of_weights_in_full_precision():
    assert sorted(wanted_files([*SMALL, *BESIDE, *full(), *full(".fp16")])) == sorted([*SMALL, *full()])


def test_half_precision_where_there_is_no_other():
    assert sorted(wanted_files([*SMALL, *BESIDE, *full(".fp16")])) == sorted([*SMALL, *full(".fp16")])


@pytest.mark.parametrize("infix", ["", ".fp16"])
def test_weights_in_several_files(infix):
    shards = [f"{STEMS[0]}{infix}-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = f"{STEMS[0]}.safetensors.index{infix}.json"
    others = full(infix)[1:]
    assert sorted(wanted_files([*SMALL, *BESIDE, *shards, index, *others])) == sorted([*SMALL, *shards, index, *others])


def test_another_kind_is_fetched_whole_but_for_pickles():
    files = ["model_index.json", "denoiser/config.json", "denoiser/weights.safetensors", "old.bin"]
    assert wanted_files(files) == files[:3]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_, revision: [*SMALL, *BESIDE, *full()])

    def fetch(repository, **options):
        asked.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    return asked


def test_the_hub_is_asked_for_the_listed_files_of_the_pinned_revision(hub, tmp_path):
    assert from_hub("org/name", "abc") == tmp_path
    assert hub["repository"] == "org/name" and hub["revision"] == "abc" and not hub["local_files_only"]
    assert sorted(hub["allow_patterns"]) == sorted([*SMALL, *full()])


def test_without_a_network_the_cache_serves_or_one_line_names_the_command(hub, monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise OSError("no route\nto host")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", unreachable)
    assert from_hub("org/name", "abc") == tmp_path and hub["local_files_only"]
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(Prior3dError) as refused:
        from_hub("org/name", "abc")
    said = str(refused.value)
    assert "(OSError: no route); where there is a network, run: hf download org/name --revision abc" in said
    assert "\n" not in said and "--include 'unet/*.safetensors'" in said and "--exclude '*.fp16.*'" in said
