"""Rendering datasets: whole chunks survive a kill, and a dataset grows."""

from functools import partial

import numpy as np
import pytest

from prior3d.errors import Prior3dError
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Stopped
from stages.training.datasets.objects import draw_object
from stages.training.datasets.rendering import RenderSettings, make_room, render_split, told_to
from stages.training.render_world import FOLDER, Params, stage
from tests.toy_training import training_job


def test_rendering_a_world_goes_on_where_it_was(tmp_path):
    pytest.importorskip("open3d")
    arrays = {"rgba": ((2, 16, 16, 4), "uint8"), "views": ((2, 2), "float32")}
    draw = partial(draw_object, seed=0, split="train", rng_key=2, n_views=2, size=16)
    settings = RenderSettings(workers=1, chunk=2)
    marks = tmp_path / "train.chunks"
    marks.mkdir()
    (marks / "0").touch()  # as if the first chunk had been rendered, and then lost
    render_split(tmp_path, "train", 4, arrays, draw, settings)
    rgba = np.load(tmp_path / "train.rgba.npy")
    assert not rgba[:4].any() and rgba[4:].any(axis=(1, 2, 3)).all()
    (marks / "0").unlink()
    render_split(tmp_path, "train", 4, arrays, draw, settings)
    (tmp_path / "train.captions.json").write_text('["one", "two", "three", "four"]')
    world = RenderedDataset(tmp_path, "train")
    assert len(world) == 8 and world.caption(5) == "three"
    assert np.array_equal(world.rgba[4:], rgba[4:]), "what was rendered must not be lost"
    assert np.array_equal(world.rgba[2:4], draw(1)["rgba"]) and np.allclose(world.views[2:4], draw(1)["views"])


def test_a_world_grows_and_keeps_what_is_rendered(tmp_path):
    path = tmp_path / "train.views.npy"
    make_room(path, (4, 2), "float32")
    np.lib.format.open_memmap(path, mode="r+")[:] = 7
    make_room(path, (4, 2), "float32")
    make_room(path, (6, 2), "float32")
    grown = np.load(path)
    assert grown.shape == (6, 2) and (grown[:4] == 7).all() and (grown[4:] == 0).all()
    for shape in ((5, 2), (8, 3)):
        with pytest.raises(Prior3dError, match=r"float32 \(6, 2\), but the parameters ask for .* delete "):
            make_room(path, shape, "float32")


def test_a_rendering_that_is_asked_to_stop_leaves_after_its_chunk(tmp_path):
    pytest.importorskip("open3d")
    job = training_job(tmp_path, "render_world")
    job.stopping = True
    draw = partial(draw_object, seed=0, split="train", rng_key=2, n_views=1, size=16)
    arrays = {"rgba": ((1, 16, 16, 4), "uint8"), "views": ((1, 2), "float32")}
    with pytest.raises(Stopped):
        render_split(tmp_path, "train", 4, arrays, draw, RenderSettings(chunk=2, progress=told_to(job)))
    assert [mark.name for mark in (tmp_path / "train.chunks").iterdir()] == ["0"]


def test_the_world_is_the_same_bits_on_every_rendering(tmp_path, monkeypatch):
    """The first object of either split, by the numbers that its own generator draws."""
    pytest.importorskip("open3d")
    monkeypatch.setattr(stage, "CHUNK", 1)
    params = Params.model_construct(seed=0, views_per_object=2, size=16, workers=0, train_objects=1, held_out_objects=1)
    stage.run(training_job(tmp_path, "render_world"), params)
    for split, key in (("train", 2), ("held-out", 3)):
        dataset = RenderedDataset(tmp_path / FOLDER, split)
        expected = draw_object(0, seed=0, split=split, rng_key=key, n_views=2, size=16)
        assert np.array_equal(dataset.rgba, expected["rgba"]) and len(dataset.captions) == 1
