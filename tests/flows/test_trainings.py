"""The pipeline of trainings: digests of its code that agree with the code, and weights accepted as they are."""

from pathlib import Path

import pytest
import yaml

from flows import trainings
from flows.engine.dvc_store import DvcStore
from flows.engine.fingerprint import reached
from flows.engine.project import Project, init_project
from prior3d.errors import Prior3dError

HERE = Project(Path(__file__).parents[2])
PIPELINE = """
stages:
  vae:
    cmd: python -m stages training.vae --world data/world
    params: [vae, {code.yaml: [vae]}]
    deps: [data/world]
    outs: [data/priors/toy/vae: {cache: false, persist: true}]
"""


def test_the_digests_in_git_are_those_of_the_code():
    written = yaml.safe_load((HERE.root / "code.yaml").read_text())
    assert written == trainings.code_digests(HERE), "the code of trainings changed: prior3d priors lock"


def test_every_training_depends_on_its_digest_its_parameters_and_its_inputs():
    described = yaml.safe_load((HERE.root / "dvc.yaml").read_text())["stages"]
    families = {name: stage for name, stage in described.items() if "--name" in stage["cmd"]}
    assert trainings.pipeline(HERE) == [name for name in described if name not in families]
    params = yaml.safe_load((HERE.root / "params.yaml").read_text())
    assert set(params) == set(described)
    for name, stage in described.items():
        words = stage["cmd"].split()
        training = words[3].removeprefix("training.") if name in families else name
        assert stage["params"] == [name, {"code.yaml": [training]}] and training in trainings.pipeline(HERE)
        assert words[:4] == ["python", "-m", "stages", f"training.{training}"]
        if name in families:
            assert words[4:6] == ["--name", name]
            words = words[2:]
        for path in words[5::2]:
            assert any(dep.startswith(path) for dep in stage["deps"]), f"{name} reads {path} and does not depend on it"


@pytest.mark.parametrize("name", ["vae", "text_to_image", "scorer", "views", "joint_views", "inpainting", "instruct"])
def test_the_optimiser_and_the_loss_are_in_every_digest(name):
    modules = reached(f"stages.training.{name}")
    assert {"stages.training.trainer", "stages.artifacts.datasets", f"stages.training.{name}.stage"} <= modules
    assert not any(module.startswith("flows") for module in modules)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one training, whose weights and data are there, and a digest that a test can change."""
    made, _ = init_project(tmp_path)
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text("vae: {steps: 3}\n")
    for file in ("data/world/rgba.npy", "data/priors/toy/vae/weights"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(file)
    digest_is(monkeypatch, "one")
    monkeypatch.chdir(tmp_path)
    return made


def digest_is(monkeypatch, value):
    monkeypatch.setattr(trainings, "fingerprint", lambda module: f"{module} {value}")


def out_of_date(project):
    return DvcStore(project.root).changed("dvc.yaml", "vae")


def recorded(project):
    return yaml.safe_load((project.root / "dvc.lock").read_text())["stages"]["vae"]


def test_a_change_of_code_makes_a_prior_stale_until_it_is_accepted(project, monkeypatch):
    assert trainings.accept(project, ["vae"]) == ["vae: accepted"]
    assert not out_of_date(project) and trainings.lock(project) == []
    digest_is(monkeypatch, "two")
    assert trainings.lock(project) == ["vae"] and out_of_date(project)
    assert trainings.accept(project, ["vae"]) == ["vae: accepted"] and not out_of_date(project)
    assert recorded(project)["params"]["code.yaml"] == {"vae": "stages.training.vae two"}
    (project.root / "params.yaml").write_text("vae: {steps: 4}\n")
    assert out_of_date(project)


def test_data_that_are_not_here_keep_what_is_known_of_them(project, monkeypatch):
    trainings.accept(project, ["vae"])
    known = recorded(project)["deps"]
    (project.root / "data/world/rgba.npy").unlink()
    (project.root / "data/world").rmdir()
    digest_is(monkeypatch, "two")
    assert trainings.accept(project, ["vae"]) == ["vae: accepted; data/world: not here, keeps its digest"]
    assert recorded(project)["deps"] == known
    assert recorded(project)["params"]["code.yaml"] == {"vae": "stages.training.vae two"}


def test_weights_made_with_other_data_are_said_to_be(project):
    trainings.accept(project, ["vae"])
    (project.root / "data/world/rgba.npy").write_text("other")
    assert trainings.accept(project, ["vae"]) == ["vae: accepted; data/world: is not what it was made with"]


def test_weights_that_changed_are_named(project):
    trainings.accept(project, ["vae"])
    (project.root / "data/priors/toy/vae/weights").write_text("other")
    said = ["vae: accepted; data/priors/toy/vae: differs from what was recorded"]
    assert trainings.accept(project, ["vae"]) == said and not out_of_date(project)


def test_nothing_is_said_of_weights_that_are_not_here_or_of_data_that_nobody_saw(project, monkeypatch):
    (project.root / "data/world/rgba.npy").rename(project.root / "elsewhere")
    (project.root / "data/world").rmdir()
    with pytest.raises(Prior3dError, match="data/world is not here, and dvc.lock does not know it; make it first"):
        trainings.accept(project, ["vae"])
    assert not (project.root / "dvc.lock").exists()
    (project.root / "data/priors/toy/vae/weights").unlink()
    (project.root / "data/priors/toy/vae").rmdir()
    left = ["vae: left as it was: data/priors/toy/vae is not here"]
    assert trainings.accept(project, ["vae"]) == left and not (project.root / "dvc.lock").exists()
