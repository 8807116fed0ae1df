"""Blender's add-on: its size, its way to studio, and with Blender as a Python module an object in the scene.

`bpy` does not share an environment with the project. Make one for it, and name its Python:
PRIOR3D_BPY=/path/to/venv/bin/python
"""

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ADD_ON = ROOT / "integrations" / "blender" / "prior3d_studio.py"
BPY = os.environ.get("PRIOR3D_BPY", "")
HEADLESS = """
import importlib.util, json, sys
import bpy
spec = importlib.util.spec_from_file_location("prior3d_studio", sys.argv[1])
add_on = importlib.util.module_from_spec(spec)
spec.loader.exec_module(add_on)
bpy.ops.wm.read_factory_settings(use_empty=True)
add_on.register()
bpy.context.scene.cursor.location = (1, 2, 3)
found = add_on.place("mug", open(sys.argv[2], "rb").read())
bpy.context.view_layer.update()
corners = [o.matrix_world @ add_on.Vector(c) for o in found if o.type == "MESH" for c in o.bound_box]
said = {"names": [o.name for o in found], "run": found[0]["prior3d_run"], "origin": found[0]["prior3d_origin"],
        "low": min(c.z for c in corners), "x": sum(c.x for c in corners) / len(corners)}
for address in ("http://evil.example/?token=a", "http://127.0.0.1:1/?token=a", ""):
    try:
        add_on.Studio(address)
    except add_on.StudioError as error:
        said[address] = str(error)
add_on.unregister()
print("said " + json.dumps(said))
"""


def test_it_is_small_and_needs_nothing_but_blender():
    text = ADD_ON.read_text()
    assert len(text.splitlines()) < 250
    names = {n.name.partition(".")[0] for i in ast.walk(ast.parse(text)) if isinstance(i, ast.Import) for n in i.names}
    names |= {i.module.partition(".")[0] for i in ast.walk(ast.parse(text)) if isinstance(i, ast.ImportFrom)}
    assert names <= {"bpy", "mathutils", "http", *__import__("sys").stdlib_module_names}


@pytest.mark.slow
@pytest.mark.skipif(not BPY, reason="needs PRIOR3D_BPY: the Python of an environment with the package bpy")
def test_a_mesh_lands_in_the_scene_with_its_origin(tmp_path):
    import trimesh

    from flows.provenance.containers import put

    glb = trimesh.Scene(trimesh.creation.box((1, 1, 1))).export(file_type="glb")
    (tmp_path / "mug.glb").write_bytes(put("mug.glb", glb, json.dumps({"run": "mug"}), "<x/>"))
    done = subprocess.run([BPY, "-c", HEADLESS, str(ADD_ON), str(tmp_path / "mug.glb")], capture_output=True, text=True)
    line = next((line for line in done.stdout.splitlines() if line.startswith("said ")), None)
    assert line is not None, done.stdout + done.stderr
    said = json.loads(line.removeprefix("said "))
    assert said["run"] == "mug" and said["names"][0].startswith("mug") and '"run": "mug"' in said["origin"]
    assert abs(said["low"] - 3) < 1e-4 and abs(said["x"] - 1) < 1e-4
    assert "paste the address" in said["http://evil.example/?token=a"] == said[""]
    assert (
        "does not answer" in said["http://127.0.0.1:1/?token=a"]
        and "prior3d studio" in said["http://127.0.0.1:1/?token=a"]
    )
