"""What install.sh installs is what the packages ask for, less what is left out on purpose, and works.

After a change of the dependencies: WRITE_DEPENDENCIES=1 python -m pytest tests/test_dependencies.py
"""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "dependencies"
DEV = ("dev", "docs", "watch")
BASE_TEXT = "# What install.sh installs, in the versions of constraints.txt. Written by tests/test_dependencies.py.\n"
DEV_TEXT = "# What install.sh --dev installs besides base.txt. Written by tests/test_dependencies.py.\n"
NAME_OF = {"PIL": "pillow", "cv2": "opencv-python-headless", "skimage": "scikit-image", "yaml": "pyyaml"}


def plain(name):
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


INSTALLED = {plain(each.metadata["Name"]): each for each in importlib.metadata.distributions()}


def left_out():
    """(package, what it asks for) pairs of left_out.txt."""
    lines = [line.partition("#")[0].strip() for line in (FOLDER / "left_out.txt").read_text().splitlines()]
    pairs = (line.partition(":") for line in lines if line)
    return {(who.strip(), what) for who, _, names in pairs for what in names.split()}


def asked(name, extras=()):
    """(package, its extras) that an installed package asks for on this machine."""
    if name == "prior3d":  # as the source says: what is installed may be older
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        texts = [*project["dependencies"], *(text for e in extras for text in project["optional-dependencies"][e])]
    else:
        texts = INSTALLED[name].requires or [] if name in INSTALLED else []
    asks = [Requirement(text) for text in texts]
    on = [
        each for each in asks if each.marker is None or any(each.marker.evaluate({"extra": e}) for e in ("", *extras))
    ]
    return [(plain(each.name), tuple(sorted(each.extras))) for each in on]


def needed(extras=(), without=frozenset()):
    """All packages under prior3d, but for those that only the pairs of `without` ask for."""
    seen, waiting = set(), [("prior3d", tuple(extras))]
    while waiting:
        name, its_extras = each = waiting.pop()
        if each not in seen:
            seen.add(each)
            waiting += [(what, more) for what, more in asked(name, its_extras) if (name, what) not in without]
    return {name for name, _ in seen} - {"prior3d"}


def listed(file):
    return {line for line in (FOLDER / file).read_text().splitlines() if not line.startswith("#")}


def pinned():
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    return {plain(name): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}


def test_the_lists_are_what_the_packages_ask_for():
    base = needed(without=left_out())
    dev = needed(DEV, left_out()) - base
    if os.environ.get("WRITE_DEPENDENCIES"):
        (FOLDER / "base.txt").write_text(BASE_TEXT + "".join(f"{name}\n" for name in sorted(base)))
        (FOLDER / "dev.txt").write_text(DEV_TEXT + "".join(f"{name}\n" for name in sorted(dev)))
    assert (listed("base.txt"), listed("dev.txt")) == (base, dev)


def test_the_lists_are_small():
    assert len(listed("base.txt")) <= 180


def test_every_package_of_the_lists_is_pinned():
    free = {"setuptools"}  # no part of what is tested: pip and torch only want some version of it
    assert listed("base.txt") | listed("dev.txt") <= set(pinned()) | free


def test_what_is_left_out_is_asked_for_and_would_be_installed():
    for who, what in left_out():
        assert what in {name for name, _ in asked(who)}, f"{who} no longer asks for {what}"
    assert needed() > needed(without=left_out())


def test_nothing_of_ours_imports_what_is_left_out():
    absent = needed() - needed(without=left_out())
    for file in (each for floor in ("prior3d", "stages", "flows") for each in (ROOT / floor).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [n.name for n in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            tops = {name.partition(".")[0] for name in names}
            assert not {plain(NAME_OF.get(top, top)) for top in tops} & absent, file


WITHOUT_VIEWER = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import numpy as np
from prior3d.meshes.mesh import Mesh
from prior3d.meshes.raster import Raycaster
from prior3d.meshes.simplification import simplify
import open3d, trimesh
ball = trimesh.creation.icosphere(subdivisions=3)
small = simplify(Mesh(np.asarray(ball.vertices), np.asarray(ball.faces)), max_faces=300, smoothing_steps=2)
hits = Raycaster(small).cast(np.array([[0.0, 0.0, 3.0]]), np.array([[0.0, 0.0, -1.0]]))
print(200 < len(small.faces) <= 300, abs(float(hits.distance[0]) - 2.0) < 0.05)
try:
    open3d.visualization.draw_plotly([])
except ModuleNotFoundError as error:
    print(error.name)
"""


def test_open3d_works_without_what_its_drawing_wants():
    code = WITHOUT_VIEWER.format(absent=sorted(name for who, name in left_out() if who == "open3d-cpu") + ["plotly"])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "True", "plotly"], done.stderr[-2000:]


def test_pip_check_names_only_what_is_left_out():
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    missing = [re.match(r"(\S+) \S+ requires (\S+), which is not installed", line) for line in said]
    ours = needed(DEV) | {"prior3d"}
    named = {(plain(m[1]), plain(m[2])) for m in missing if m and plain(m[1]) in ours}
    wanted = left_out() | {
        ("prior3d", what) for what in needed(("background", "colmap", "dask", "files", "openvino", "ray", "s3"))
    }
    assert named <= wanted


@pytest.mark.skipif("dash" not in INSTALLED, reason="Dash is left out here")
def test_open3d_still_draws_where_dash_is():
    code = "import prior3d, open3d; print(type(open3d.visualization.get_plotly_fig([])).__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Figure", done.stderr[-2000:]


@pytest.mark.parametrize("file", ["install.sh", "docker/cpu.Dockerfile", "docker/cuda.Dockerfile"])
def test_everything_that_installs_takes_the_lists(file):
    lines = [
        line for line in (ROOT / file).read_text().splitlines() if "install " in line and "constraints.txt" in line
    ]
    assert any("--constraint constraints.txt" in line and "torch" in (ROOT / file).read_text() for line in lines)
    assert any("--no-deps" in line for line in lines) and "dependencies/base.txt" in (ROOT / file).read_text()
