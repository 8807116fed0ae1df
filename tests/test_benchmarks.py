"""Benchmarks cannot rot: each imports and shows its help, and names only parameters that exist. None is measured."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from prior3d.errors import Prior3dError
from stages.contract.parameters import check_params
from tests.scenes import write_capture
from tests.test_docs import STAGES, unknown_parameter

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
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


@pytest.mark.parametrize("name", NAMES)
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
