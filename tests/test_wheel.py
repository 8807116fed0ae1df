"""The wheel works where there is no checkout: the toy prior travels inside it, the tests do not."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.skipif(
    not (ROOT / "data/priors/toy/model_index.json").is_file(), reason="the toy prior is not trained yet"
)
def test_the_wheel_works_in_an_empty_folder(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("prior3d-*.whl")
    files = zipfile.ZipFile(wheel).namelist()
    assert "prior3d/embedded/toy/model_index.json" in files
    templates = {str(path.relative_to(ROOT)) for top in ("flows", "stages") for path in (ROOT / top).rglob("*.j2")}
    assert templates and templates <= set(files)
    assert {name.partition("/")[0].partition("-")[0] for name in files} == {"prior3d", "stages", "flows"}

    installed, project = tmp_path / "installed", tmp_path / "project"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(installed), str(wheel)], check=True)
    project.mkdir()

    def prior3d(*words):
        command = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())", *words]
        env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
        done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    prior3d("init")
    assert f"prior toy: {installed / 'prior3d' / 'embedded' / 'toy'}" in prior3d("doctor")
    said = prior3d("run", "latent-nerf", "--prompt", "a blue mug", "--name", "mug", "--plain", "--stop-after",
                   "coarse_nerf", "--set", "coarse_nerf.steps=2")  # fmt: skip
    assert "coarse_nerf  done in" in said and (project / "data/runs/mug/coarse_nerf/field.safetensors").is_file()
