"""What is fitted to the edited images, and how: the parts in which a grid and splats differ."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from prior3d.dataset_update.captured_views import CapturedView, CapturedViews, edit_distillation
from prior3d.dataset_update.edit_scene import EditedScene, SceneEdit
from prior3d.distillation.sds import ScoreDistillation
from prior3d.seeds import Seeds
from stages.dataset_update import Params

Losses = Callable[[int], dict[str, Tensor]]
Update = Callable[[int], None]  # edits the images whose turn it is before a step


@dataclass(frozen=True)
class Fit:
    """A scene that is fitted while its images are edited.

    Attributes:
        scene: a grid, or splats.
        shown_by: the same, as the last preview and the metric show it.
        build_losses: the losses of a step, which `Update` goes before.
        optimiser: of all that is fitted.
        n_steps: steps of the fit.
        round_steps: steps in which each image has its turn once.
        views_due: the views that are edited before a step.
        learning_rate_factor: of the fraction of the steps that are done.
        save: writes the scene into a folder.
        advice: what to turn where it diverges.
    """

    scene: EditedScene
    shown_by: EditedScene
    build_losses: Callable[[SceneEdit, Update], Losses]
    optimiser: torch.optim.Optimizer
    n_steps: int
    round_steps: int
    views_due: Callable[[int], list[int]]
    learning_rate_factor: Callable[[float], float]
    save: Callable[[Path], None]
    advice: str


def distillation(scene: SceneEdit, params: Params, seeds: Seeds) -> ScoreDistillation[CapturedView]:
    """Score distillation with the instruct prior, one view per step (the paper's comparison): no image is replaced."""
    views = CapturedViews(scene.editor, scene.dataset)
    return ScoreDistillation(views, seeds, edit_distillation(params.edit), "image")
