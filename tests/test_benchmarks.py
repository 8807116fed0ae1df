"""Benchmarks cannot rot: each imports and shows its help, and names only parameters that exist. None is measured."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prior3d.errors import Prior3dError
from stages.contract.parameters import check_params
from tests.scenes import write_capture
from tests.test_docs import STAGES, unknown_parameter

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
BENCHMARKS = [name for name in NAMES if name != "results"]
WRITE = re.compile(r'add_write_option\(parser, "(\w+)", "(\w+)"\)')
WRITERS = {
    name: found.groups()
    for name in BENCHMARKS
    if (found := WRITE.search((FOLDER / f"{name}.py").read_text(encoding="utf-8")))
}
PAGE = """# Page

<!-- benchmark first: `python` -->
old
<!-- end of first -->
| by | hand |

<!-- benchmark second: `python` -->
other
<!-- end of second -->
"""
SETTING = re.compile(r"\"([a-z0-9_]+)\.([a-z0-9_.]+)=")  # "stage.parameter=value"


@pytest.fixture
def load(monkeypatch):
    """Import a benchmark as it is imported when run as a script: its folder comes first on the path."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_it_imports_and_shows_its_help(name, load, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as left:
        load(name).main()
    assert left.value.code == 0
    assert f"usage: {name}.py" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_parameters_that_it_names_exist(name):
    named = SETTING.findall((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    assert [wrong for stage, key in named if stage in STAGES and (wrong := unknown_parameter(stage, key))] == []


def test_settings_of_edit_scenes_are_valid(load):
    module = load("edit_scenes")
    for values in (*module.SETTINGS.items(), ("dataset_update", module.OWN_FORM)):
        check_params(STAGES[values[0]].load().Params, values[1], values[0])


def test_a_fit_is_watched(load, tmp_path, monkeypatch):
    write_capture(tmp_path / "capture")
    changed = {
        "scene_fit.steps": "[2, 3]", "scene_fit.resolutions": "[5, 9]", "scene_fit.held_out_every": "3",
        "scene_fit.rendering.rays_per_step": "16", "scene_fit.rendering.n_bins": "8",
    }  # fmt: skip
    words = [word for key, value in changed.items() for word in ("--set", f"{key}={value}")]
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["fit_scenes.py", str(tmp_path / "capture"), "--out", str(out), *words])
    load("fit_scenes").main()
    found = json.loads((out / "capture" / "curve.json").read_text())
    assert found["rows"][-1]["step"] == 4 and found["rows"][-1]["psnr"] > 0
    assert found["metrics"]["held_out_psnr"]["n"] == 2


def test_a_fit_with_a_wrong_parameter_is_refused(load, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fit_scenes.py", str(tmp_path), "--set", "scene_fit.segments=8"])
    with pytest.raises(Prior3dError, match="scene_fit.segments is now called scene_fit.rendering.n_bins"):
        load("fit_scenes").main()


def test_a_block_is_replaced_and_nothing_else(load, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    load("results").write_block(page, "first", "new \\1\n")
    assert page.read_text() == PAGE.replace("old\n", "\nnew \\1\n\n")
    load("results").write_block(page, "first", "newer")
    assert page.read_text() == PAGE.replace("old\n", "\nnewer\n\n")


@pytest.mark.parametrize(
    "text",
    [
        "# Page\n",
        PAGE.replace("<!-- end of first -->", ""),
        PAGE + PAGE,
        "<!-- end of first -->\n<!-- benchmark first: `python` -->\n",
    ],
    ids=["no marks", "no end", "twice", "the end first"],
)
def test_a_page_without_its_marks_is_refused(text, load, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(Prior3dError, match=r"^page.md: found \d lines '<!-- benchmark first: .*one of each.*$"):
        load("results").write_block(page, "first", "new")
    assert page.read_text() == text


def test_a_wrong_page_is_refused_before_anything_is_measured(load, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sds_step.py", "--write", str(tmp_path / "none.md")])
    with pytest.raises(SystemExit) as left:
        load("sds_step").main()
    assert left.value.code == 2
    assert "none.md: there is no such page, so the table of sds_step cannot be written" in capsys.readouterr().err


def test_results_say_how_they_were_made(load, tmp_path, monkeypatch):
    module, page = load("results"), tmp_path / "page.md"
    page.write_text(PAGE)
    given = ["x.py", "--steps", "3", "--write", str(page), "--out", "/some/where/out.json", "--set", "a=1|2"]
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setattr(module, "commit", lambda: "abc1234")
    module.write_results(page, "first", module.markdown_table(["a", "b"], [["x|y", 2]]))
    text = page.read_text()
    assert "| commit | abc1234 |" in text and "no GPU used, torch" in text
    assert "| options | `--steps 3 --out out.json --set 'a=1\\|2'` |" in text
    assert "| a | b |\n| --- | --- |\n| x\\|y | 2 |" in text and "| by | hand |" in text


@pytest.mark.parametrize("words, changed", [((), ""), (("docs/results/page.md",), ""), (("code.py",), " with changes")])
def test_results_name_the_commit(words, changed, load, tmp_path, monkeypatch):
    module = load("results")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for file in ("docs/results/page.md", "code.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("first\n")
    assert module.commit() == "unknown: this is not a git checkout"
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "docs/results/page.md", "code.py"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    for file in words:
        (tmp_path / file).write_text("second, longer\n")
    assert re.fullmatch(rf"[0-9a-f]{{7,}}{changed}.*" if changed else "[0-9a-f]{7,}", module.commit())


def test_benchmarks_write_their_results():
    """All but these, whose results are images, or a curve."""
    assert set(BENCHMARKS) - set(WRITERS) == {"eight_prompts", "fit_scenes", "points_or_mesh"}


@pytest.mark.parametrize("name", WRITERS)
def test_the_page_of_a_benchmark_has_its_marks(name, load):
    module, (block, page) = load("results"), WRITERS[name]
    assert block == name
    text, start, end = module.find_block(module.PAGES / f"{page}.md", block)
    assert text[start:end].strip()
    code = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert re.search(rf'write_results\((args\.write|page), "{name}"', code)


def test_tables_are_written_as_they_are_printed(load):
    rows = [{"scene": i, "variant": v, "psnr": 20.0 + i} for i in range(2) for v in ("nothing", "sds")]
    lines = load("edit_scenes").table(rows, ["sds"])
    assert [line[:3] for line in lines[:3]] == [
        ["all", "nothing", "2"],
        ["all", "sds", "2"],
        ["colour", "nothing", "1"],
    ]
    assert lines[0][3] == "20.50 [20.00, 21.00]" and lines[0][4] == "-"
    module = load("image_to_3d")
    figures = dict.fromkeys(module.FIGURES, 1.0)
    found = {"full": {0: figures}, "without-prior": {0: dict.fromkeys(module.FIGURES, 0.5)}}
    assert module.table(found)[-1][:3] == ["full - without-prior", "1", "+0.500 [+0.500, +0.500]"]
    module = load("sparse_views")
    row = {f"{m}_{what}": 1.0 for m in module.COMPARED for what in ("psnr_db", "ssim", "inconsistency")}
    text = module.markdown([{"inputs": 3, "prior_confidence": 0.5, **row}], [3])
    assert f"| 3 | 1 | 0.50 | {module.COMPARED[0]} | 1.00 | 1.000 | 1.0000 |" in text


def test_the_stage_that_orchestration_is_measured_with_runs(load, tmp_path):
    module = load("orchestration")
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "text.txt").write_text("hello\n")
    (tmp_path / "params.yaml").write_text("".join(f"step_{i}: {{seed: 0}}\n" for i in range(module.N_STAGES)))
    assert module.bare(tmp_path) > 0
    assert (tmp_path / f"step_{module.N_STAGES - 1}" / "text.txt").read_text() == "hello\n"


def test_text_to_3d_looks_from_as_far_as_the_run_does(load, tmp_path):
    judge = load("text_to_3d")
    (tmp_path / "params.yaml").write_text("evaluation:\n  radius: 1.6\n")
    own, toy = judge.cameras_of_run(tmp_path), judge.cameras()
    assert torch.allclose(own.positions, toy.positions / 2) and torch.equal(own.fov_deg, toy.fov_deg)
    assert torch.equal(own.c2w[:, :3, :3], toy.c2w[:, :3, :3])


def test_quick_writes_posed_images_by_object(load):
    quick = load("quick")
    rows = [{"object": i, "thing": "a mug", "inputs": n, "field_psnr": 20.0 + n} for i, n in ((0, 2), (0, 3), (1, 3))]
    table = quick.posed_objects(rows)
    assert table.splitlines()[0] == "| object | 2 images, dB | 3 images, dB |"
    assert table.splitlines()[2:] == ["| a mug | 22.00 | 23.00 |", "| a mug |  | 23.00 |"]
    results = load("results")
    results.find_block(results.PAGES / "quick.md", "quick_posed")
