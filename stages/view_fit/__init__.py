"""A radiance field fitted to views of one object, some of them given and some drawn by a prior.

It begins as the soft visual hull of the views' outlines, coloured by the views that face it, or as fog. Views of a body
that was completed from one image come with a field that is the body; the fit starts there. Every step renders rays of
all views. Views of more weight lend more rays. The terms that make a surface out of fog are those of view_distillation.
"""

from typing import Literal

from pydantic import Field

from prior3d.settings import Steps
from prior3d.settings.completion import CompletionSettings
from prior3d.settings.reconstruction import FitSettings
from prior3d.settings.refresh import ObjectCheckSettings, SurfaceSettings
from stages.artifacts import DRAWN_VIEWS, FIELD, POSED_IMAGES
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: Steps = Field(80, ge=1, le=100_000, description="optimisation steps")
    posed_steps: Steps = Field(
        150, ge=1, le=100_000, description="the same where posed images are given, which say more than drawn views"
    )
    start: Literal["hull", "fog"] = Field(
        "hull", description="the field's start: what almost all outlines hold, or fog, which needs twice the steps"
    )
    completed_steps: Steps = Field(80, ge=0, le=100_000, description="the same where a completed body is the start")
    fit: FitSettings = FitSettings(
        surface=SurfaceSettings(distortion_weight=0.5, sparsity_weight=1e-3, smoothness_weight=1.0)
    )
    completed_fit: FitSettings = CompletionSettings().fit
    check: ObjectCheckSettings = ObjectCheckSettings()


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {"steps": 2000, "posed_steps": 2000, "start": "fog", "fit": {"resolutions": (17, 33, 65, 129)}},
}
INPUTS = {"views": DRAWN_VIEWS, "posed": POSED_IMAGES}
OPTIONAL_INPUTS = frozenset({"posed"})
OUTPUT = FIELD
