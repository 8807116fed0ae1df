"""The wheel works where there is no checkout: the toy prior travels inside it, the tests do not."""

import email
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from flows.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
WORDS = {9: "nine", 10: "ten", 11: "eleven", 12: "twelve"}


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
    shown = {".j2", ".js", ".css"}
    parts = {str(p.relative_to(ROOT)) for t in ("flows", "stages") for p in (ROOT / t).rglob("*") if p.suffix in shown}
    assert "flows/studio/static/studio.js" in parts and parts <= set(files)
    check_metadata(zipfile.ZipFile(wheel))
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
    prior3d("run", "quick", "--prompt", "a blue mug", "--name", "quick-mug", "--plain", "--set", "view_fit.steps=20",
            "--set", "joint_views.drawing.num_inference_steps=4", "--set", "evaluation.video_frames=2")  # fmt: skip
    assert (project / "data/runs/quick-mug/texture_baking/mesh.glb").read_bytes()[:4] == b"glTF"


def check_metadata(wheel):
    """A stranger who finds the wheel sees what it is; nothing in it is invented."""
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    values = email.message_from_bytes(wheel.read(name))
    n_methods = len(METHODS) - 1  # without `splats`, which makes nothing up
    assert f"{WORDS[n_methods]} diffusion-prior methods" in values["Summary"]
    kinds = values.get_all("Classifier")
    assert {"Programming Language :: Python :: 3.11", "Typing :: Typed"} <= set(kinds)
    assert values["Keywords"] and values["License-Expression"] == "MIT" and values.get_all("Project-URL") is None
    assert any(n.endswith("licenses/LICENSE") for n in wheel.namelist())
    needed = {re.split(r"[^A-Za-z0-9_.-]", text)[0].lower() for text in values.get_all("Requires-Dist")}
    assert {"filelock", "psutil", "starlette", "uvicorn", "anyio"} <= needed
