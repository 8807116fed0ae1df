"""Views of one object from all round, drawn together by a joint-view prior: from words, or given images of it.

From words: a ring of four views, then eight more that are drawn given the ring; a prior that takes no given views, like
MVDream, draws the ring alone (`drawing.ring_views`). Given images: twelve views from all round, in several sets, since
the errors of different sets differ. One image is given together with its mirror image. The background is the one that
is farthest from the object's colours, and masks are told from it. MVDream chooses its own; there masks are told from
each drawing's border.

Of one image of a thing that the prior does not know nothing is drawn. A body is completed from it instead: of round
cross-sections inside the image's cone of sight, with colours all round. Its renders are the views, and it is where the
fit starts. If a person names the thing, the prior redraws the renders, and the body is trimmed to their outlines.
"""

from prior3d.settings.completion import BackSettings, BodySettings
from prior3d.settings.joint_views import DrawingSettings, GivenSettings, OutlineSettings
from stages.artifacts import CAPTION, DRAWN_VIEWS, OBJECT_IMAGE, POSED_IMAGES, PRIOR, PROMPT
from stages.contract.parameters import PriorParams


class Params(PriorParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    drawing: DrawingSettings = DrawingSettings()
    given: GivenSettings = GivenSettings()
    body: BodySettings = BodySettings()
    back: BackSettings = BackSettings()
    outlines: OutlineSettings = OutlineSettings()


PRESETS: dict[str, dict] = {
    "toy": {},
    # MVDream (Shi et al. 2023): four views of one ring, 50 steps
    "paper": {
        "drawing": {
            "num_inference_steps": 50,
            "guidance_scale": 7.5,
            "given_guidance_scale": 7.5,
            "view_words": False,
            "views_at_once": 0,
        }
    },
}
INPUTS = {"prompt": PROMPT, "caption": CAPTION, "image": OBJECT_IMAGE, "views": POSED_IMAGES, "prior": PRIOR}
OPTIONAL_INPUTS = frozenset({"prompt", "caption", "image", "views"})
OUTPUT = DRAWN_VIEWS
