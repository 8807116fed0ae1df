"""What the views prior's feature transformer predicts of a ring of cameras, and how far the prior can be trusted.

Confidence is measured: the prior shows each input that `view_symmetry` left out, given the others. Its images are
compared with those of the fields that were fitted to the others. `confidence` says which difference counts how much.
"""

from pydantic import Field

from prior3d.settings import DegreeRange
from prior3d.settings.sparse_views import ConfidenceSettings
from stages.artifacts import POSED_IMAGES, PRIOR, SYMMETRY, VIEW_FEATURES
from stages.contract.parameters import PriorParams


class Params(PriorParams):
    """What the stage can be told."""

    n_views: int = Field(32, ge=4, le=400, description="cameras of the ring")
    elevation_deg: DegreeRange = Field((-10, 60), description="range of the cameras' elevation")
    confidence: ConfidenceSettings = ConfidenceSettings()


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"n_views": 82}}
INPUTS = {"views": POSED_IMAGES, "symmetry": SYMMETRY, "prior": PRIOR}
OUTPUT = VIEW_FEATURES
