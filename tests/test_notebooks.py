"""The notebooks run from end to end, with less work than they show; they lie in the repository without outputs."""

import importlib.util
import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra dev: nbformat, nbclient, ipykernel")
ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHORT = {
    "view_fit.steps": 30, "joint_views.drawing.num_inference_steps": 5, "evaluation.video_frames": 4,
    "evaluation.size": 32,
}  # fmt: skip
LESS = {
    "quick_start.ipynb": [
        ('name="mushroom")', f'name="mushroom", set={SHORT})'),
        ('set={"mesh', f'set={SHORT} | {{"mesh'),
    ],
    "distil_by_hand.ipynb": [('STEPS, SAMPLES = "a blue mug", 150, 32', 'STEPS, SAMPLES = "a blue mug", 3, 8')],
}


def test_every_notebook_is_known_here_and_has_no_outputs():
    assert [file.name for file in NOTEBOOKS] == sorted(LESS)
    for file in NOTEBOOKS:
        notebook = nbformat.read(file, as_version=4)
        nbformat.validate(notebook)
        assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells), file


def test_three_lines_show_a_mesh_and_thirty_distil_one():
    first, second = (nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
                     for name in ("quick_start.ipynb", "distil_by_hand.ipynb"))  # fmt: skip
    code = [line for line in first[1].source.splitlines() if line]
    assert len(code) == 3 and code[0] == "import prior3d" and code[2] == "mushroom.show()"
    assert len([line for line in second[3].source.splitlines() if line]) <= 30


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nbclient") is None, reason="needs the extra dev: nbclient, ipykernel")
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs(file, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(file, as_version=4)
    for old, new in LESS[file.name]:
        assert any(old in cell.source for cell in notebook.cells), old
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    kinds = {kind for output in shown for kind in output.get("data", {})}
    if file.stem == "quick_start":
        pages = [output["data"]["text/html"] for output in shown if "text/html" in output.get("data", {})]
        assert len(pages) == 2 and all("model-viewer" in page for page in pages)
        assert "[(1, " in str(shown[-1]["data"]["text/plain"]) and "(2, " in str(shown[-1]["data"]["text/plain"])
    else:
        assert "image/png" in kinds
