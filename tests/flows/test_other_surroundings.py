"""Repositories, servers, priors and sentences as people have them."""

import shutil
import subprocess

import pytest

from prior3d.diffusion.folders import check_prior_folder
from prior3d.errors import Prior3dError
from tests.tiny_prior import write_tiny_prior

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 3438167540\n"
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]


def git(folder, *words):
    subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True)


def test_a_pointer_in_place_of_weights(tmp_path):
    write_tiny_prior(tmp_path / "prior")
    (tmp_path / "prior" / "unet" / "diffusion_pytorch_model.safetensors").write_text(POINTER)
    with pytest.raises(Prior3dError) as caught:
        check_prior_folder(tmp_path / "prior", "text_to_image")
    assert "diffusion_pytorch_model.safetensors" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/api", "127.0.0.1:9", "http://"])
def test_a_run_goes_on_without_a_server_that_cannot_be_asked(fake, monkeypatch, url):
    monkeypatch.setenv("PREFECT_API_URL", url)
    monkeypatch.setenv("PREFECT_HOME", str(fake.project.parent / "nowhere"))
    code, out, err = fake.cli(
        "run", "counting-method", "--prompt=one two", "--prior", str(fake.prior), "--preset=toy", "--name=demo",
        plain=False,
    )  # fmt: skip
    assert code == 0 and "Traceback" not in out + err, out + err
    assert "PREFECT_API_URL" in out + err and fake.text("joining")


@pytest.mark.parametrize("kind", ["detached", "worktree", "below"])
def test_a_project_in_a_worktree_or_at_a_detached_head(fake, tmp_path, kind):
    git(fake.project, "init", "-q")
    git(fake.project, "add", ".dvc", ".dvcignore")
    git(fake.project, "commit", "-qm", "a project")
    if kind == "detached":
        git(fake.project, "checkout", "-q", "--detach")
    if kind == "worktree":
        git(fake.project, "worktree", "add", "-q", str(tmp_path / "other"))
        fake.project = tmp_path / "other"
        assert fake.cli("init")[0] == 0
    code, out, err = fake.run("--set", "counting.steps=2")
    assert code == 0, err
    if kind == "below":
        (fake.project / "notes").mkdir()
        fake.project = fake.project / "notes"
    assert fake.cli("ls")[0] == 0 and fake.cli("status", "demo")[0] == 0
    code, out, err = fake.run("--set", "counting.steps=2")
    assert code == 0 and "nothing to do" in out, err
    shutil.rmtree(fake.project if kind == "below" else fake.project / "data")


@pytest.mark.parametrize(
    "prompt",
    [
        'a "blue" mug',
        "a 'mug'; $(touch pwned) `id`",
        "</script><b>mug</b>",
        "eine große Tasse, 一个杯子",
        "a\u00a0mug",
        "50 % off --name x",
    ],
)
def test_any_sentence_is_a_prompt(fake, prompt):
    code, out, err = fake.run(prompt=prompt)
    assert code == 0, err
    assert not (fake.project / "pwned").exists()
    assert fake.text("counting").startswith(prompt.split()[0].replace("\u00a0", " ")[:3])
    code, out, err = fake.cli("open", "demo", "--to", str(fake.project / "page.html"))
    assert code == 0, err
    assert "<b>mug</b>" not in (fake.project / "page.html").read_text()
