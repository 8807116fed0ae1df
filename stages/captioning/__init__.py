"""What posed images show, in words that a joint-view prior was taught, and whether the prior knows such things.

A scorer chooses a few of the toy world's captions. The prior then takes noise off some of the images under each of
them. The caption with the least error is kept. The thing counts as known if this error is well below the error without
words. A caption that a person gives is judged in the same way, and none is looked for.
"""

from pydantic import Field

from prior3d.settings.joint_views import CaptionSettings
from stages.artifacts import CAPTION, POSED_IMAGES, PRIOR, PROMPT
from stages.contract.parameters import PriorParams


class Params(PriorParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    caption: CaptionSettings = CaptionSettings()
    most_images: int = Field(3, ge=1, le=10, description="how many of the images the prior judges captions by")


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"caption": {"candidates": "none"}}}
INPUTS = {"views": POSED_IMAGES, "prompt": PROMPT, "prior": PRIOR, "scorer": PRIOR}
OPTIONAL_INPUTS = frozenset({"prompt"})
OUTPUT = CAPTION
