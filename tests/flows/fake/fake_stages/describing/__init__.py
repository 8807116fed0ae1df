"""Says how many bytes an image and a folder of images have."""

from fake_stages.common import Anything
from stages.contract.parameters import StageParams


class Params(StageParams):
    pass


INPUTS = {"photograph": Anything, "views": Anything}
OPTIONAL_INPUTS = frozenset({"views"})
OUTPUT = None
