"""`benchmarks/gpu.py`: every line of it at tiny sizes on the CPU; what is cut off or fails is a row, not an end."""

import importlib
import json
import sys
import time
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Import a module as `python benchmarks/gpu.py` does."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("accelerator", "gpu", "results"):
            del sys.modules[name]


def run(load, monkeypatch, tmp_path, *words):
    file = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--tiny", "--json", str(file), *words])
    load("gpu").main()
    return {row["what"]: row for row in json.loads(file.read_text())["rows"]}


def test_floors_and_steps(load, monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- benchmark gpu: `python` -->\nold\n<!-- end of gpu -->\n")
    rows = run(load, monkeypatch, tmp_path, "--only", "floors,steps", "--write", str(page))
    assert len(rows) == 22 and all(row["value"] > 0 for row in rows.values()), rows
    assert "x U-Net pair, 16 bit, graph" in rows["coarse_nerf, paper, one view"]["note"]
    assert rows["RGB SDS at the prior's size, one view"]["note"].count("+") == 1
    text = page.read_text()
    assert text.count("| floors |") == 17 and text.count("| steps |") == 5 and "old" not in text
    assert "22 rows, 0 without a value" in capsys.readouterr().out


@pytest.mark.slow
def test_flows_and_methods(load, monkeypatch, tmp_path):
    rows = run(load, monkeypatch, tmp_path, "--only", "flows,methods", "--minutes", "20")
    assert len(rows) == 10 and all(row["value"] > 0 for row in rows.values()), rows
    assert "throughput" in rows["the four at once"]["note"]


def test_what_is_cut_off_and_what_fails_is_said(load, capsys):
    module = load("accelerator.table")
    table = module.Table(torch.device("cpu"), time.monotonic() + 60)
    table.measure("floors", "fails", "ms", lambda: 1 / 0)
    table.measure("floors", "works", "ms", lambda: (2.0, "note"))
    table.until = 0.0
    table.measure("steps", "late", "ms", lambda: pytest.fail("it began after the end"))
    assert [row.value for row in table.rows] == [None, 2.0, None]
    out = capsys.readouterr().out
    assert "failed: ZeroDivisionError: division by zero" in out and "cut off: the time was over" in out
    assert table.ratio(3.0, "works") == "1.50 x works" and table.ratio(3.0, "works", "late") == ""


def test_an_unknown_part_is_refused(load):
    with pytest.raises(SystemExit, match="--only flors: there is no such part; parts: floors, flows"):
        list(load("accelerator.table").chosen(("floors", "flows"), "floors,flors"))


def test_random_folders_have_stable_diffusions_size(load):
    """Counted on the meta device: 859.5 million parameters in the U-Net."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    sizes = load("accelerator.random_priors").SD15
    with torch.device("meta"):
        unet = UNet2DConditionModel(in_channels=4, out_channels=4, attention_head_dim=8, **sizes["unet"])
        vae = AutoencoderKL(**sizes["vae"])
    assert sum(p.numel() for p in unet.parameters()) == 859_520_964
    assert sum(p.numel() for p in vae.parameters()) == 83_653_863
