"""What one image shows, in words that a joint-view prior was taught; whether the prior knows it, and its camera.

A scorer chooses a few of the toy world's captions. Without --camera the direction is looked for in which the prior
takes noise off the image best. The prior then takes noise off under each caption, and the caption with the least error
is kept. The thing counts as known if this error is well below the error without words. A caption that a person gives
is judged in the same way, and none is looked for.

The image goes on from here with the camera that was given or found; of an unknown thing without --camera, with the one
that image_preparation took for it.
"""

from prior3d.settings.joint_views import CameraSearchSettings, CaptionSettings
from stages.artifacts import CAMERA_TEXT, CAPTIONED_IMAGE, OBJECT_IMAGE, PRIOR, PROMPT
from stages.contract.parameters import PriorParams


class Params(PriorParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    caption: CaptionSettings = CaptionSettings()
    camera_search: CameraSearchSettings = CameraSearchSettings()


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {"caption": {"candidates": "none"}, "camera_search": {"n_azimuths": 1}},
}
INPUTS = {"image": OBJECT_IMAGE, "camera": CAMERA_TEXT, "prompt": PROMPT, "prior": PRIOR, "scorer": PRIOR}
OPTIONAL_INPUTS = frozenset({"camera", "prompt"})
OUTPUT = CAPTIONED_IMAGE
