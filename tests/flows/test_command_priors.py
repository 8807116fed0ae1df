"""`prior3d priors`: what is listed, refused, trained and drawn."""

import json
import os

import numpy as np
import pytest
import yaml
from fake_priors import write_prior

from flows.cli import main
from flows.commands import priors_train
from flows.engine.hub import download_command
from flows.engine.priors import choose_prior
from flows.engine.project import Project
from prior3d.diffusion.embedded import embedded_prior
from prior3d.errors import Prior3dError
from prior3d.images.files import from_bytes, write_png
from tests.tiny_joint_views import write_tiny_joint_views
from tests.tiny_prior import write_tiny_prior
from tests.tiny_views import write_tiny_views


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "data" / "priors").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def said(capsys, *words):
    capsys.readouterr()  # what was written before
    code = main(["priors", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_ls_tells_roles_and_what_they_saw(project, capsys):
    own = write_prior(project.root / "data/priors/mine")
    (own / "training.json").write_text(json.dumps({"samples": 1000, "samples_before": 234, "unit": "sets"}))
    (own / "unet" / "config.json").write_text(json.dumps({"in_channels": 9}))
    (project.root / "data/priors/not-a-prior").mkdir()
    code, out, _ = said(capsys, "ls")
    row = next(line for line in out.splitlines() if line.startswith("mine "))
    assert code == 0 and "inpainting" in row and "1,234 sets" in row and "not-a-prior" not in out
    assert any(line.split()[:2] == ["toy", "text_to_image"] for line in out.splitlines())


def test_show_says_what_a_prior_knows(project, capsys):
    code, out, _ = said(capsys, "show", "toy")
    assert code == 0 and "29 kinds of objects:" in out and "12 colours: red, orange, " in out
    rows = [line.split("  ") for line in out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["vessels", "mug", "handle", "100%", "100%"] in cells  # group, kind, part, found, of real renders
    assert sum(any(cell.endswith("%") for cell in row) for row in cells) == 29
    assert "automobile, beetle, taxi as car" in out
    write_tiny_prior(project.root / "data/priors/tiny")
    code, out, _ = said(capsys, "show", "tiny")
    assert code == 0 and "it is not of the toy world" in out
    code, _, err = said(capsys, "show", "toyy")
    assert code == 2 and "toy" in err


def test_mistakes_are_answered_in_one_line(project, capsys, tmp_path):
    write_tiny_prior(project.root / "data/priors/editor", in_channels=8)
    cases = {
        ("lss",): "there is no such action; did you mean 'ls'?",
        ("check", "nowhere"): "is neither an embedded prior, nor a folder",
        ("check", "toy", "--images", "5"): "use a multiple of 16",
        ("sample", "editor", "--prompt", "x"): "--instruction is missing: prior editor (instruct) takes",
        ("sample", "editor", "--instruction", "make it red"): "--image is missing",
        ("sample", "toy", "--prompt", "x", "--mask", "m.png"): "--mask does not apply to prior toy (text_to_image)",
        ("sample", "toy", "--prompt", " "): "--prompt is empty",
        ("sample", "editor", "--instruction", "red", "--image", "gone.png"): "there is no such file",
        ("train", "toy"): "trains no priors: training needs a checkout of prior3d",
    }
    (project.root / "dvc.yaml").write_text("stages: {}\n")
    for words, message in cases.items():
        code, _, err = said(capsys, *words)
        # only the last line counts: a prior that is opened may warn first
        assert code == 2 and message in err.splitlines()[-1], (words, err)


def test_check_of_another_worlds_prior_says_that_toy_scores_do_not_apply(project, capsys):
    folder = write_tiny_prior(project.root / "other", in_channels=9)
    code, out, _ = said(capsys, "check", str(folder))
    assert code == 0 and out.startswith("other: inpainting, ")
    assert "files whole, weights complete and finite" in out and "scores do not apply" in out


def test_samples_are_a_grid_and_unknown_words_are_named(project, capsys):
    write_tiny_prior(project.root / "data/priors/tiny", camera=True)
    words = ("sample", "tiny", "--prompt", "a red zeppelin", "--prompt", "a cube", "--steps", "2", "--device", "cpu")
    code, out, err = said(capsys, *words, "--out", "grid.png")
    assert (code, out) == (0, "drawing 1 of 2: a red zeppelin\ndrawing 2 of 2: a cube\ngrid.png\n") and err == (
        "warning: this prior does not know: zeppelin; what it knows: prior3d priors show tiny\n"
    )
    assert from_bytes((project.root / "grid.png").read_bytes()).shape == (2 * 32, 6 * 32, 3)


@pytest.mark.parametrize(("channels", "words"), [(9, ("--prompt", "a red ball")), (8, ("--instruction", "a red"))])
def test_samples_of_conditional_priors_begin_with_the_picture(project, capsys, channels, words):
    write_tiny_prior(project.root / "data/priors/tiny", in_channels=channels)
    picture = np.zeros((32, 32, 3), np.float32)
    picture[:16] = 1
    write_png(project.root / "image.png", picture)
    write_png(project.root / "mask.png", 1 - picture)
    mask = ("--mask", "mask.png") if channels == 9 else ()
    code, out, _ = said(
        capsys, "sample", "tiny", *words, "--image", "image.png", *mask, "--steps", "2", "--device", "cpu"
    )
    assert (code, out) == (0, f"drawing 1 of 1: {words[1]}\nsamples-tiny.png\n")
    grid = from_bytes((project.root / "samples-tiny.png").read_bytes())
    before = (project.root / "samples-tiny.png").read_bytes()
    again = ("sample", "tiny", *words, "--image", "image.png", *mask, "--steps", "2", "--device", "cpu")
    assert said(capsys, *again)[1].endswith("samples-tiny-2.png\n")
    code, _, err = said(capsys, *again, "--out", "samples-tiny.png")
    assert code == 2 and "--out samples-tiny.png exists; name another file" in err
    assert (project.root / "samples-tiny.png").read_bytes() == before
    columns = 5 if channels == 9 else 6  # behind the edits stands what they agree on
    assert grid.shape == (32, columns * 32, 3) and (grid[:14, :32] > 0.98).all()
    lower = grid[18:, :32].mean()
    assert lower == pytest.approx(0.5, abs=0.01) if channels == 9 else lower < 0.02
    if channels == 9:
        assert (grid[:14, 32:] > 0.98).all(), "known pixels stay"


def test_train_runs_the_stages_whose_outputs_are_the_priors(project, monkeypatch):
    (project.root / "dvc.yaml").write_text(
        "stages:\n  one: {outs: [data/priors/toy/unet: {cache: false}, data/priors/toy/vae]}\n"
        "  two: {outs: [data/world]}\n  three: {outs: [data/priors/toy/README.md]}\n"
        "  four: {outs: [data/priors/toy-instruct/unet]}\n  five: {outs: [data/students/distilled]}\n"
    )
    assert priors_train.making(project, "toy") == ["one", "three"]
    assert priors_train.making(project, "distilled") == ["five"]
    with pytest.raises(Prior3dError, match="makes no prior 'toy-instrukt'; did you mean 'toy-instruct'"):
        priors_train.making(project, "toy-instrukt")
    called = []

    class Failed:
        returncode = 255

    monkeypatch.setattr(priors_train.subprocess, "run", lambda line, **_: called.append(line) or Failed)
    with pytest.raises(Prior3dError, match="ended with exit code 255; to resume: prior3d priors train toy-instruct"):
        priors_train.train(["toy-instruct"])
    assert called[0][1:] == ["-m", "dvc", "repro", "four"]


def test_a_student_is_trained_with_its_data_and_the_teacher_that_is_there(project):
    (project.root / "dvc.yaml").write_text(
        "stages:\n  teacher: {outs: [data/priors/toy-mv/unet], deps: [data/sets]}\n"
        "  collect: {outs: [data/finished: {cache: false}]}\n"
        "  pupil: {outs: [data/students/of-runs], deps: [data/finished, data/priors/toy-mv/unet]}\n"
    )
    assert priors_train.repro_words(project, ["pupil"]) == ["--single-item", "--force", "collect", "pupil"]
    assert priors_train.repro_words(project, ["teacher"]) == ["teacher"]


def test_a_role_is_asked_for(project):
    write_tiny_prior(project.root / "data/priors/nine", in_channels=9)
    assert choose_prior("nine", project).name == choose_prior("nine", project, "inpainting").name == "nine"
    with pytest.raises(Prior3dError, match=r"takes 9 channels \(inpainting\), but text_to_image needs 4"):
        choose_prior("nine", project, "text_to_image")


def test_a_pinned_prior_that_is_not_here_names_the_command_that_fetches_it(project, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    command = download_command("nobody/nothing", "abc123")
    assert command.startswith("hf download nobody/nothing --revision abc123 --include 'model_index.json'")
    with pytest.raises(Prior3dError) as refused:
        choose_prior("nobody/nothing@abc123", project)
    assert command in str(refused.value) and "\n" not in str(refused.value)


def test_a_views_prior_is_listed_checked_and_samples_nothing_from_words(project, capsys):
    write_tiny_views(project.root / "data/priors/looker")
    _, out, _ = said(capsys, "ls")
    assert any(line.split()[:2] == ["looker", "views"] for line in out.splitlines())
    code, out, _ = said(capsys, "check", "looker")
    assert code == 0 and "files whole, weights complete and finite" in out and "scores do not apply" in out
    code, _, err = said(capsys, "sample", "looker", "--prompt", "a red ball")
    assert code == 2 and "draws only views of posed images" in err


def test_a_joint_view_prior_is_listed_chosen_checked_and_draws_sets(project, capsys):
    write_tiny_joint_views(project.root / "data/priors/many")
    _, out, _ = said(capsys, "ls")
    assert any(line.split()[:2] == ["many", "joint_views"] for line in out.splitlines())
    assert choose_prior("many", project, "joint_views").name == "many"
    with pytest.raises(Prior3dError, match="draws several views of a thing together, but text_to_image is needed"):
        choose_prior("many", project, "text_to_image")
    with pytest.raises(Prior3dError, match="but joint_views is needed; give a joint-view prior, e.g. toy-mv"):
        choose_prior("toy", project, "joint_views")
    code, out, _ = said(capsys, "check", "many")
    assert code == 0 and "files whole, weights complete and finite" in out and "scores do not apply" in out
    words = ("--prompt", "a red ball", "--prompt", "a red cube", "--steps", "1", "--out", "sets.png")
    assert said(capsys, "sample", "many", *words)[0] == 0
    assert from_bytes((project.root / "sets.png").read_bytes()).shape == (2 * 32, 4 * 32, 3)


def test_a_views_prior_of_ones_own_data_is_asked_for_rightly(project, capsys, monkeypatch):
    from tests.tiny_co3d import write_category

    data = str(write_category(project.root / "balls"))
    (project.root / "dvc.yaml").write_text("stages:\n  one: {outs: [data/priors/toy/unet]}\n")
    for words, message in (
        (("toy", "--data", data), "only a views prior is trained on data of your own"),
        (("views", "--data", str(project.root)), "it has no frame_annotations.jgz"),
        (("views", "--data", data, "--steps", "0"), "use at least 1"),
        (("views", "--data", data, "--out", "toy-views"), "choose a name without a slash"),
        (("views", "--data", data, "--minutes", "nan"), "use a number above 0"),
        (("views", "--data", data, "--minutes", "inf"), "use a number above 0"),
        (("views", "--data", data, "--device", "abacus"), "'abacus' is not a device"),
        (("toy", "--steps", "5", "--device", "cpu"), "--steps, --device: only with --data; the training of toy is set"),
    ):
        code, _, err = said(capsys, "train", *words)
        assert code == 2 and message in err
    called = []

    class Done:
        returncode = 0

    monkeypatch.setattr(priors_train.subprocess, "run", lambda line, **_: called.append(line) or Done)
    words = ("--device", "cpu", "--steps", "7", "--minutes", "2")
    code, out, _ = said(capsys, "train", "views", "--data", data, *words)
    assert code == 0 and "--prior views-balls" in out
    written = project.root / ".work/training/views-views-balls/params.yaml"
    vae = str(embedded_prior("toy") / "vae")
    assert called[0][1:] == ["-m", "stages", "training.views", "--vae", vae,
                             "--name", "views-views-balls", "--params", str(written)]  # fmt: skip
    settings = {"data": data, "out": "data/priors/views-balls", "steps": 7, "minutes": 2.0, "device": "cpu"}
    assert yaml.safe_load(written.read_text()) == {"views-views-balls": settings}
    assert len(yaml.safe_load(written.with_name("code.yaml").read_text())["views-views-balls"]) == 16


@pytest.mark.slow
def test_a_views_prior_is_trained_on_ones_own_category_and_loads(project, capsys):
    import torch

    from prior3d.diffusion.views import load_views
    from tests.tiny_co3d import write_category

    data = str(write_category(project.root / "balls"))
    assert said(capsys, "train", "views", "--data", data, "--steps", "2", "--minutes", "9", "--out", "balls")[0] == 0
    prior = load_views(project.root / "data/priors/balls", torch.device("cpu"))
    assert prior.image_size == 64
    facts = json.loads((project.root / "data/priors/balls/training.json").read_text())
    assert facts["steps"] == 2 and facts["params"]["data"] == data
    assert choose_prior("balls", project, "views").name == "balls"
