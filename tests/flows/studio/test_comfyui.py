"""ComfyUI's nodes, called as ComfyUI calls them, against a real studio; of ComfyUI only what they import is here."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from flows.engine.project import find_project
from flows.studio.jobs import all_jobs
from flows.studio.queue import Queue
from prior3d.files import write_private
from tests.flows.studio.test_add_on import served

NODES = Path(__file__).resolve().parents[3] / "integrations" / "comfyui" / "__init__.py"


class Interrupted(BaseException):
    """ComfyUI's own exception is no Exception's business either."""


@pytest.fixture
def comfy(monkeypatch, tmp_path):
    """What of ComfyUI the nodes import; `bar` hears of progress, `stop` interrupts."""
    names = ("comfy", "comfy.model_management", "comfy.utils", "folder_paths")
    comfy, management, utils, paths = (ModuleType(name) for name in names)
    for name, module in zip(names, (comfy, management, utils, paths), strict=True):
        monkeypatch.setitem(sys.modules, name, module)
    comfy.model_management, comfy.utils, comfy.stop, comfy.bar = management, utils, False, []

    class ProgressBar:
        def __init__(self, total):
            self.total = total

        def update_absolute(self, value):
            comfy.bar.append((value, self.total))

    def throw_exception_if_processing_interrupted():
        if comfy.stop and comfy.bar:
            raise Interrupted

    def get_save_image_path(prefix, root, width=0, height=0):
        below, name = os.path.split(prefix)
        folder = Path(root) / below
        folder.mkdir(parents=True, exist_ok=True)
        taken = [int(found[1]) for each in folder.iterdir() if (found := re.match(rf"{name}_(\d+)_", each.name))]
        return str(folder), name, max(taken, default=0) + 1, below, prefix

    utils.ProgressBar, paths.get_save_image_path = ProgressBar, get_save_image_path
    management.throw_exception_if_processing_interrupted = throw_exception_if_processing_interrupted
    paths.get_output_directory = lambda: str(tmp_path / "output")
    return comfy


@pytest.fixture
def nodes(comfy):
    """The folder, imported as ComfyUI imports it."""
    spec = importlib.util.spec_from_file_location("prior3d_comfyui", NODES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(queue):
    """A project whose studio answers."""
    with served(queue) as port:
        leave_address(queue.project, port)
        yield str(queue.project.root)


def leave_address(project, port):
    """Say where the project's studio is, as `prior3d studio` does."""
    folder = project.state / "studio"
    folder.mkdir(parents=True, exist_ok=True)
    write_private(folder / "address.json", json.dumps({"port": port, "token": "secret"}))


def call(node, **given):
    """Call a node by its documented interface: declared inputs with their defaults, then its FUNCTION."""
    declared = {name: kind for group in node.INPUT_TYPES().values() for name, kind in group.items()}
    assert given.keys() <= declared.keys()
    values = {name: kind[1]["default"] for name, kind in declared.items() if len(kind) > 1 and "default" in kind[1]}
    result = getattr(node(), node.FUNCTION)(**{**values, **given})["result"]
    assert len(result) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    return result


def test_it_is_small_and_needs_nothing_that_comfyui_lacks(nodes):
    text = NODES.read_text()
    assert len(text.splitlines()) < 250
    names = {n.name.partition(".")[0] for i in ast.walk(ast.parse(text)) if isinstance(i, ast.Import) for n in i.names}
    names |= {i.module.partition(".")[0] for i in ast.walk(ast.parse(text)) if isinstance(i, ast.ImportFrom)}
    assert names <= {"comfy", "folder_paths", "numpy", "PIL", *sys.stdlib_module_names}
    assert nodes.NODE_CLASS_MAPPINGS.keys() == nodes.NODE_DISPLAY_NAME_MAPPINGS.keys()
    methods = nodes.Prior3dMake.INPUT_TYPES()["required"]["method"][0]
    assert "quick" in methods


def test_it_asks_waits_and_tells(nodes, project, comfy, queue):
    with pytest.raises(nodes.StudioError, match="one-two has no mesh yet"):  # the fake method makes none
        call(nodes.Prior3dMake, project=project, method="counting-method", prompt="one two", seed=5)
    assert (queue.project.runs / "one-two" / "joining").is_dir()
    assert comfy.bar and all(0 <= value <= total for value, total in comfy.bar)
    assert "secret" not in json.dumps(nodes.Prior3dMake.INPUT_TYPES())


def test_an_interrupted_prompt_stops_the_job(nodes, project, comfy, queue):
    comfy.stop = True
    with pytest.raises(Interrupted):
        slow = "counting.steps=400\ncounting.pause_s=0.05"  # it must not end before ComfyUI is heard
        call(nodes.Prior3dMake, project=project, method="counting-method", prompt="one two", seed=6, settings=slow)
    until = time.monotonic() + 30
    while (state := all_jobs(queue.project)[0].state()) in ("running", "stopping"):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert state == "stopped"


def test_what_is_wrong_is_one_line(nodes, project, tmp_path):
    for given, said in [
        ({"method": "counting-method"}, "say this in words: what to count"),
        ({"method": "nothing", "prompt": "x"}, "there is no method"),
        ({"method": "quick", "prompt": "x", "settings": "view_fit.step=1"}, "did you mean view_fit.steps"),
        ({"method": "quick", "prompt": "x", "project": str(tmp_path / "none")}, "there: prior3d studio"),
        ({"method": "quick", "prompt": "x", "project": ""}, "no studio has run in a folder without a name"),
    ]:
        with pytest.raises(nodes.StudioError, match=said):
            call(nodes.Prior3dMake, **{"project": project, "seed": 0, **given})
    for run, said in [("../../x", "studio has nothing of this name"), ("nothing", "there is no run 'nothing'")]:
        with pytest.raises(nodes.StudioError, match=said):
            call(nodes.Prior3dFetch, project=project, run=run)
    address = Path(project) / ".prior3d" / "studio" / "address.json"
    address.write_text(json.dumps({"port": json.loads(address.read_text())["port"], "token": "old"}))
    with pytest.raises(nodes.StudioError, match="studio refuses"):
        nodes.Studio(project)
    address.write_text(json.dumps({"port": 1, "token": "secret"}))
    with pytest.raises(nodes.StudioError, match="does not answer"):
        nodes.Studio(project)


def test_an_image_becomes_what_comfyui_shows(nodes, tmp_path):
    image, nothing = torch.rand(1, 6, 5, 3), torch.zeros(1, 6, 5)
    nothing[:, :2] = 1  # Load Image: 1 where the file is transparent
    (tmp_path / "a.png").write_bytes(nodes.png_of(image, nothing))
    found = np.asarray(Image.open(tmp_path / "a.png"))
    assert found.shape == (6, 5, 4) and (found[:2, :, 3] == 0).all() and (found[2:, :, 3] == 255).all()
    assert np.abs(found[..., :3] / 255 - image[0].numpy()).max() < 0.003
    (tmp_path / "b.png").write_bytes(nodes.png_of(image, torch.zeros(1, 64, 64)))  # Load Image's mask of an opaque file
    assert np.asarray(Image.open(tmp_path / "b.png")).shape == (6, 5, 3)
    with pytest.raises(nodes.StudioError, match="64x64 and 6x5"):
        nodes.png_of(image, torch.ones(1, 64, 64))


@pytest.mark.slow
def test_a_sentence_becomes_a_glb_in_comfyuis_output(nodes, comfy, tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    subprocess.run(
        [sys.executable, "-m", "flows.cli", "init"], check=True, env={**os.environ, "PYTHONPATH": str(NODES.parents[2])}
    )
    monkeypatch.setenv("PYTHONPATH", str(NODES.parents[2]))
    queue = Queue(find_project(tmp_path / "project"))
    settings = "view_fit.steps=20\njoint_views.drawing.num_inference_steps=4\nevaluation.video_frames=2"
    with served(queue) as port:
        leave_address(queue.project, port)
        given = {"project": str(queue.project.root), "method": "quick", "prompt": "a blue mug", "settings": settings}
        place, run = call(nodes.Prior3dMake, **given)
        again, _ = call(nodes.Prior3dFetch, project=given["project"], run=run)
    assert (run, place, again) == ("a-blue-mug", "prior3d/a-blue-mug_00001_.glb", "prior3d/a-blue-mug_00002_.glb")
    assert (tmp_path / "output" / place).read_bytes()[:4] == b"glTF"
    assert (tmp_path / "output" / place).read_bytes() == (tmp_path / "output" / again).read_bytes()
    assert comfy.bar[-1][1] >= 5
