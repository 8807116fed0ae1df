"""Runs without a name, runs made again by their name, and runs read from a file."""

import pytest
import yaml

from flows.engine.project import Project
from flows.engine.run_files import read_form
from flows.methods import METHODS
from flows.run_again import words_of_file
from flows.run_names import unnamed_run
from prior3d.errors import Prior3dError
from stages.contract import yaml_text


def runs(fake):
    return sorted(folder.name for folder in (fake.project / "data" / "runs").iterdir())


def made(fake, out):
    return {stage for stage, outcome in fake.outcomes(out).items() if outcome == "Completed"}


def unnamed(fake, prompt):
    words = ("run", "counting-method", "--prompt", prompt, "--prior", str(fake.prior), "--stop-after", "counting")
    code, out, err = fake.cli(*words)
    assert code == 0, err
    return out


def test_other_words_are_another_run_and_the_same_words_the_same(fake):
    for prompt in ("красный гриб", "蓝色的杯子", "a red mug", "a blue mug, " + "very " * 20 + "old", "a blue mug, "
                   + "very " * 20 + "new"):  # fmt: skip
        unnamed(fake, prompt)
    long = "a-blue-mug" + "-very" * 10
    assert runs(fake) == sorted(["counting-method", "counting-method-2", "a-red-mug", long, f"{long}-2"])
    assert "nothing to do" in unnamed(fake, "蓝色的杯子") and "nothing to do" in unnamed(fake, "a red mug")
    assert len(runs(fake)) == 5


def test_other_images_are_other_runs_named_after_their_files(fake, tmp_path):
    project, method = Project(fake.project), METHODS["realfusion"]
    found = {}
    for folder, content in (("a", b"red"), ("b", b"blue"), ("again", b"red")):
        (tmp_path / folder).mkdir()
        image = tmp_path / folder / "Mein Becher.png"
        image.write_bytes(content)
        run = unnamed_run(project, method, {"image": image, "camera": b"0,0,40\n", "prior": b"{}"})
        found[folder] = run.name
        (run.folder / "inputs").mkdir(parents=True, exist_ok=True)
        (run.folder / "inputs" / "image.png").write_bytes(content)
        (run.folder / "inputs" / "camera.txt").write_bytes(b"0,0,40\n")
    assert found == {"a": "mein-becher", "b": "mein-becher-2", "again": "mein-becher"}


def test_a_run_is_made_again_by_its_name_with_changes(fake):
    fake.run("--seed", "3", "--set", "counting.steps=5", prompt="one two three")
    code, out, err = fake.cli("run", "demo")
    assert code == 0 and "nothing to do" in out, err
    code, out, err = fake.cli("run", "demo", "--set", "shouting.exclamation_marks=2")
    assert code == 0 and made(fake, out) == {"shouting", "joining"}, err
    params = yaml.safe_load((fake.folder() / "params.yaml").read_text())
    assert params["counting"] | {"steps": 5, "seed": 3} == params["counting"]
    assert params["shouting"]["exclamation_marks"] == 2
    code, out, _ = fake.cli("plan", "demo", "--seed", "4")
    assert code == 0 and "seed: 3 -> 4" in out
    code, out, _ = fake.cli("run", "demo", "--name", "other", "--prompt", "four")
    assert code == 0 and fake.text("counting", "other") != fake.text("counting")
    assert yaml.safe_load((fake.folder("other") / "params.yaml").read_text()) == params
    code, _, err = fake.cli("run", "demo", "--set", "counting.stepz=1")
    assert code == 2 and "did you mean" in err
    code, _, err = fake.cli("run", "demi")
    assert code == 2 and "there is no method 'demi'" in err


def test_optional_stages_stay_on(fake):
    fake.run("--set", "echoing=on")
    code, out, err = fake.cli("run", "demo", "--set", "echoing.exclamation_marks=3")
    assert code == 0 and made(fake, out) == {"echoing", "joining"}, err


def test_what_a_run_wrote_is_read_from_a_file(fake, tmp_path):
    fake.run("--set", "counting.steps=4")
    code, out, err = fake.cli("run", "--from", str(fake.folder() / "method.yaml"), "--name", "copy",
                              "--prior", str(fake.prior))  # fmt: skip
    assert code == 0 and set(fake.outcomes(out).values()) == {"Restored"}, err
    recipe = {"method": "counting-method", "inputs": {"prompt": "by hand", "prior": str(fake.prior)},
              "params": {"counting": {"steps": 6}}}  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))
    code, out, err = fake.cli("run", f"--from={tmp_path / 'mine.yaml'}", "--stop-after", "counting")
    assert code == 0, err
    assert yaml.safe_load((fake.folder("by-hand") / "params.yaml").read_text())["counting"]["steps"] == 6


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        ("preset: toy\n", "it names no method"),
        ("method: latent-nert\n", "did you mean 'latent-nerf'"),
        ("method: latent-paint\ninputs: {mesh: {file: ../../a.obj}}\n", "which lies outside of"),
        ("- a\n", "mine.yaml': it holds no mapping; write it as a run's method.yaml is"),
    ],
)
def test_files_that_are_no_recipe(fake, tmp_path, content, said):
    if content is not None:
        (tmp_path / "mine.yaml").write_text(content)
    code, _, err = fake.cli("run", "--from", str(tmp_path / "mine.yaml"))
    assert code == 2 and said in err and len(err.splitlines()) == 1


def test_every_kind_of_value_comes_back_as_it_was(fake, tmp_path):
    values = {"a": 1e-05, "b": [1, 2.5, [3]], "c": "yes", "d": {"e": None, "f": {}}, "g": True, "h": "a: 'b' #c"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"method": "latent-nerf", "params": {"stage": values}}))
    _, words = words_of_file(tmp_path / "mine.yaml", [])
    assert read_form(tmp_path / "mine.yaml")["params"]["stage"] == values
    sets = dict(word.partition("=")[::2] for word in words if word.startswith("stage."))
    assert sets.keys() == {"stage.a", "stage.b", "stage.c", "stage.d.e", "stage.d.f", "stage.g", "stage.h"}
    for dotted, value in {"a": 1e-05, "b": [1, 2.5, [3]], "c": "yes", "d.e": None, "d.f": {}, "h": "a: 'b' #c"}.items():
        assert yaml_text.load(sets[f"stage.{dotted}"]) == value
    with pytest.raises(Prior3dError, match="there is no such file"):
        words_of_file(tmp_path / "none.yaml", [])


def test_the_last_line_says_what_was_made_and_how_long_it_took(fake):
    code, out, _ = fake.run()
    last = out.splitlines()[-1]
    assert code == 0 and last.startswith("done, version 1, in ") and last.endswith("next: prior3d open demo")
    (fake.folder() / "joining" / "mesh.glb").write_bytes(bytes(400_000))
    last = fake.run("--stop-after", "counting")[1].splitlines()[-1]
    assert "data/runs/demo/joining/mesh.glb (0.4 MB); next: prior3d open demo" in last
