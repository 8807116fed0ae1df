"""Every wrong input: one clear line on stderr, exit code 2, nothing written."""

import os

import pytest
from fake_priors import write_prior


@pytest.fixture
def refused(fake):
    """Check that a command line is refused with a line, and leaves nothing behind."""

    def check(said, *words, **kwargs):
        code, out, err = fake.run(*words, **kwargs)
        assert code == 2, out
        assert said in err and len(err.splitlines()) == 1
        assert list((fake.project / "data" / "runs").iterdir()) == []

    return check


def test_prompts(refused):
    refused("error: --prompt is empty: say in words what to make", prompt="  \n ")
    refused("error: --prompt has 10000 characters; use at most 1000", prompt="x" * 10_000)
    refused("which cannot be printed", prompt="a\x1b[2Jb")


@pytest.mark.parametrize("name", ["a/b", "..", "a..b", "", ".hidden", "-x y", "x" * 81])
def test_run_names(refused, name):
    refused(f"run name {name!r}: use 1 to 80 letters", f"--name={name}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("counting.step=3", "counting.step: there is no such parameter; did you mean counting.steps?"),
        ("countin.steps=3", "has no stage 'countin'; did you mean counting.steps?"),
        ("counting.steps=0", "counting.steps: input should be greater than or equal to 1; found 0"),
        ("counting.steps=many", "counting.steps: input should be a valid integer"),
        ("counting.fail=badly", "counting.fail: input should be ''"),
        ("counting.seed=-1", "counting.seed: input should be greater than or equal to 0"),
        ("steps=3", "write stage.parameter=value, e.g. --set counting.steps=3"),
        ("counting.steps", "write stage.parameter=value"),
        ("counting.steps=[", "is not a YAML value"),
    ],
)
def test_parameters(refused, text, said):
    refused(said, "--set", text)


def test_options(refused):
    refused("did you mean --prompt?", "--promt", "x")
    refused("--device 'gpu' is not a device; did you mean 'cuda'?", "--device", "gpu")
    refused("--device 'cud' is not a device; did you mean 'cuda'?", "--device", "cud")
    refused(
        "--stop-after 'shoutin': counting-method has no such stage; did you mean 'shouting'?", "--stop-after", "shoutin"
    )
    refused("invalid choice: 'toi'", "--preset", "toi")
    refused("--seed", "--seed", "one")


def test_commands_and_methods(fake):
    def refused(said, *words):
        code, _, err = fake.cli(*words, plain=False)
        assert code == 2 and said in err and len(err.splitlines()) == 1

    refused("there is no command 'rnu'; did you mean 'run'?", "rnu")
    refused("'latent-nerf' is a method; write: prior3d run latent-nerf ...", "latent-nerf")
    refused("there is no method 'latent-nerv'; did you mean 'latent-nerf'?", "run", "latent-nerv")
    refused("--prompt is missing: what to count", "run", "counting-method")
    refused("there is no stage 'shout'; did you mean 'shouting'?", "stage", "shout")
    fake.run()
    refused("there is no run 'demi' in", "plan", "demi")
    refused("did you mean 'demo'?", "status", "demi")
    refused("run demo was made by counting-method, not by latent-nerf", "run", "latent-nerf", "--prompt", "x", "--name",
            "demo", "--prior", str(fake.prior))  # fmt: skip


def test_priors(refused, fake, tmp_path):
    def with_prior(said, prior):
        refused(said, "--prior", str(prior))

    with_prior("prior 'toi' is neither an embedded prior, nor a folder", "toi")
    with_prior("pin one, e.g. --prior org/name@REVISION", "org/name")
    (tmp_path / "empty").mkdir()
    with_prior("the folder holds no model_index.json", tmp_path / "empty")
    with_prior("is neither an embedded prior, nor a folder", tmp_path / "nowhere")

    cut = write_prior(tmp_path / "cut") / "unet" / "model.safetensors"
    size = cut.stat().st_size
    cut.write_bytes(cut.read_bytes()[:-3])
    with_prior(f"model.safetensors: {size - 3} bytes, which are not a whole safetensors file", tmp_path / "cut")
    cut.unlink()
    with_prior("unet/ holds no .safetensors file (pickled weights are never read)", tmp_path / "cut")
    cut.parent.joinpath("config.json").unlink()
    cut.parent.rmdir()
    with_prior("its component unet/ is missing", tmp_path / "cut")

    lost = write_prior(tmp_path / "lost")
    (lost / "tokenizer" / "tokenizer.json").unlink()
    with_prior("tokenizer/ holds neither tokenizer.json nor vocab.json with merges.txt", lost)
    (lost / "scheduler" / "scheduler_config.json").unlink()
    (lost / "vae" / "config.json").write_text("{")
    with_prior("vae/config.json cannot be read (Expecting", lost)
    (lost / "vae" / "config.json").unlink()
    with_prior("vae/config.json cannot be read (No such file or directory); copy the prior again", lost)
    (tmp_path / "cut" / "model_index.json").write_text("{")
    with_prior("model_index.json cannot be read", tmp_path / "cut")


def test_outside_a_project(fake, tmp_path):
    before = fake.project
    fake.project = tmp_path
    code, _, err = fake.run()
    assert code == 2 and "is in no prior3d project; make one here with: prior3d init" in err
    code, out, _ = fake.cli("init", "made/here")
    assert code == 0 and (tmp_path / "made" / "here" / "data" / "runs").is_dir()
    fake.project = before
    os.chdir(before)


def test_a_project_is_found_from_below(fake):
    fake.run()
    inside = fake.folder() / "counting"
    fake.project, top = inside, fake.project
    assert "demo" in fake.cli("ls")[1]
    fake.project = top
