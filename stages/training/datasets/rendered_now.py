"""Held-out objects and edits, rendered now: for scores without the datasets on disk."""

import tempfile
from pathlib import Path

from stages.artifacts.datasets import EditDataset, RenderedDataset
from stages.training.datasets.edits import render_pairs
from stages.training.datasets.objects import OBJECTS_KEY, VIEWS_KEY, render_objects
from stages.training.datasets.posed import PosedDataset, toy_views
from stages.training.datasets.rendering import RenderSettings
from stages.training.datasets.sets import RING, render_sets


def held_out_world(n_objects: int, n_views: int = 1) -> RenderedDataset:
    """The first held-out objects of the toy world, rendered now."""
    with tempfile.TemporaryDirectory() as folder:
        settings = RenderSettings(n_views=n_views, chunk=n_objects)
        render_objects(Path(folder), "held-out", n_objects, settings, OBJECTS_KEY)
        return RenderedDataset(Path(folder), "held-out")


def held_out_edits(n_edits: int) -> EditDataset:
    """The first held-out edits of the toy world, one view each, rendered now."""
    with tempfile.TemporaryDirectory() as folder:
        render_pairs(Path(folder), "held-out", n_edits, RenderSettings(chunk=n_edits))
        return EditDataset(Path(folder), "held-out")


def held_out_views(n_objects: int, n_views: int) -> PosedDataset:
    """The first held-out objects of the toy world from many sides, rendered now."""
    with tempfile.TemporaryDirectory() as folder:
        settings = RenderSettings(n_views=n_views, chunk=n_objects)
        render_objects(Path(folder), "held-out", n_objects, settings, VIEWS_KEY)
        return toy_views(Path(folder), "held-out")


def held_out_sets(n_objects: int, n_views: int = RING + 4) -> RenderedDataset:
    """Sets of the first held-out objects of the toy world, rendered now."""
    with tempfile.TemporaryDirectory() as folder:
        render_sets(Path(folder), "held-out", n_objects, RenderSettings(n_views=n_views, chunk=n_objects))
        return RenderedDataset(Path(folder), "held-out")
