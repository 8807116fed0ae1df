"""What the views prior's feature transformer says of a ring of cameras, made once; and how far it can be trusted.

Trust is measured: each input that `view_symmetry` left out is shown by the prior from the others. Where these pictures
are as good as those of the fields that were fitted there, the prior is trusted; where they are 3 dB worse, not at all.
"""

from pydantic import Field

from stages.artifacts import POSED_IMAGES, PRIOR, SYMMETRY, VIEW_FEATURES
from stages.contract.parameters import DEGREES, Range, StageParams


class Params(StageParams):
    """What the stage can be told."""

    n_views: int = Field(32, ge=4, le=400, description="cameras of the ring")
    elevation_deg: Range = Field((-10, 60), description="range of their elevation", json_schema_extra=DEGREES)


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"n_views": 82}}
INPUTS = {"views": POSED_IMAGES, "symmetry": SYMMETRY, "prior": PRIOR}
OUTPUT = VIEW_FEATURES
