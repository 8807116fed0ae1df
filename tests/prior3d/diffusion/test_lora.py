"""LoRA files of three writers, fused into a prior's weights."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from flows.commands.priors_fuse import fuse
from flows.engine.priors import choose_prior
from flows.engine.project import Project
from prior3d.diffusion.lora import load_lora
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.errors import Prior3dError
from tests.tiny_prior import write_tiny_prior

UNET, TEXT = "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"
RANK, ALPHA = 2, 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p")


@pytest.fixture(scope="module")
def places(folder):
    """Names of weights: two of the UNet's attention, a convolution, and one of the text encoder."""
    unet, text = load_file(folder / UNET), load_file(folder / TEXT)
    wanted = ("attn1.to_q.weight", "attn2.to_out.0.weight", "conv1.weight")
    return [next(n for n in unet if n.endswith(w)) for w in wanted], next(
        n for n in text if n.endswith("q_proj.weight")
    )


def factors(weight, seed):
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn((RANK, *weight.shape[1:]), generator=generator)
    return down, torch.randn((weight.shape[0], RANK, *[1] * (weight.ndim - 2)), generator=generator)


def written(file, folder, places, style):
    """A LoRA of the named weights, in one of the three spellings."""
    unet, text = load_file(folder / UNET), load_file(folder / TEXT)
    tensors = {}
    for seed, (prefix, name, weight) in enumerate(
        [("unet", name, unet[name]) for name in places[0]] + [("text_encoder", places[1], text[places[1]])]
    ):
        down, up = factors(weight, seed)
        module = name.removesuffix(".weight")
        if style == "kohya":
            key = f"lora_{'te' if prefix == 'text_encoder' else 'unet'}_{module.replace('.', '_')}"
            tensors |= {
                f"{key}.lora_down.weight": down,
                f"{key}.lora_up.weight": up,
                f"{key}.alpha": torch.tensor(ALPHA),
            }
        elif style == "peft":
            key = f"{prefix}.{module}"
            tensors |= {f"{key}.lora_A.weight": down * ALPHA / RANK, f"{key}.lora_B.weight": up}
        else:
            key = f"{prefix}.{module}"
            tensors |= {f"{key}.lora.down.weight": down * ALPHA / RANK, f"{key}.lora.up.weight": up}
    save_file({name: value.contiguous() for name, value in tensors.items()}, str(file))
    return file


@pytest.mark.parametrize("style", ["kohya", "peft", "diffusers"])
def test_a_fused_prior_has_the_products_added_and_loads(tmp_path, folder, places, style, capsys):
    lora = written(tmp_path / "style.safetensors", folder, places, style)
    assert fuse([str(folder), str(lora), "--out", str(tmp_path / "new"), "--scale", "0.5"]) == 0
    assert f"4 weights of p changed; use it: --prior {tmp_path / 'new'}" in capsys.readouterr().out
    for file, names in ((UNET, places[0]), (TEXT, [places[1]])):
        before, after = load_file(folder / file), load_file(tmp_path / "new" / file)
        assert set(before) == set(after)
        for name, weight in before.items():
            if name not in names:
                assert torch.equal(after[name], weight)
                continue
            down, up = factors(weight, [*places[0], places[1]].index(name))
            change = torch.einsum("or,r...->o...", up.flatten(1), down) * ALPHA / RANK * 0.5
            torch.testing.assert_close(after[name], weight + change)
    one, other = (load_text_to_image(path, torch.device("cpu")) for path in (folder, tmp_path / "new"))
    assert not torch.equal(one.embed(["a red ball"]), other.embed(["a red ball"]))


def test_a_lora_behind_a_priors_name_is_fused_once_and_has_a_digest_of_its_own(tmp_path, folder, places):
    lora = tmp_path / "style.safetensors"
    written(lora, folder, places, "peft")
    (tmp_path / "project" / ".prior3d").mkdir(parents=True)
    project = Project(tmp_path / "project")
    plain = choose_prior(str(folder), project, "text_to_image")
    whole, less = (choose_prior(f"{folder}+{lora}{s}", project, "text_to_image") for s in ("", ":0.5"))
    assert whole.name == less.name == f"{folder.name}+style" and len({plain.digest, whole.digest, less.digest}) == 3
    name = places[0][0]
    weight, half, before = (load_file(f / UNET)[name] for f in (whole.folder, less.folder, folder))
    assert torch.allclose(half - before, (weight - before) / 2, atol=1e-6) and not torch.equal(weight, before)
    times = [file.stat().st_mtime_ns for file in sorted(whole.folder.rglob("*.safetensors"))]
    assert choose_prior(f"{folder}+{lora}", project) == whole
    assert times == [file.stat().st_mtime_ns for file in sorted(whole.folder.rglob("*.safetensors"))]
    with pytest.raises(Prior3dError, match="there is no such file; write it as"):
        choose_prior(f"{folder}+{tmp_path / 'none.safetensors'}", project)
    save_file({"unet.x.lora_A.weight": torch.zeros(2, 3)}, str(tmp_path / "bad.safetensors"))
    with pytest.raises(Prior3dError, match="no second factor"):
        choose_prior(f"{folder}+{tmp_path / 'bad.safetensors'}", project)
    assert (
        not list((project.state / "fused").rglob("*.partial")) and len(list((project.state / "fused").glob("*/*"))) == 2
    )


def test_what_is_refused(tmp_path, folder, places):
    lora = written(tmp_path / "style.safetensors", folder, places, "kohya")
    new = str(tmp_path / "new")
    with pytest.raises(Prior3dError, match="it is there already"):
        fuse([str(folder), str(lora), "--out", str(tmp_path)])
    with pytest.raises(Prior3dError, match="holds no model_index.json"):
        fuse([str(tmp_path), str(lora), "--out", new])
    with pytest.raises(Prior3dError, match="only .safetensors files are read"):
        load_lora(tmp_path / "style.pt")
    down, up = torch.zeros(2, 4), torch.zeros(4, 2)
    for tensors, said in (
        ({"something": torch.zeros(2)}, "holds no low-rank factors"),
        ({"unet.a.lora_A.weight": down}, "has no second factor"),
        ({"lora_te2_a.lora_down.weight": down, "lora_te2_a.lora_up.weight": up}, "is of no component"),
        ({"unet.far.lora_A.weight": down, "unet.far.lora_B.weight": up}, "changes no weight"),
        (
            {
                f"unet.{places[0][0].removesuffix('.weight')}.lora_A.weight": torch.zeros(2, 99),
                f"unet.{places[0][0].removesuffix('.weight')}.lora_B.weight": torch.zeros(16, 2),
            },
            r"changes a weight of \(16, 99\), the prior's is \(16, 16\)",
        ),
    ):
        save_file(tensors, str(tmp_path / "bad.safetensors"))
        with pytest.raises(Prior3dError, match=said):
            fuse([str(folder), str(tmp_path / "bad.safetensors"), "--out", new])
        assert not (tmp_path / "new").exists() and not (tmp_path / "new.partial").exists()
