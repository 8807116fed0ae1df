from flows.api import Page as Page
from flows.api import Result as Result
from flows.api import load as load
from flows.api import methods as methods
from flows.api import run as run
from prior3d.errors import Prior3dError as Prior3dError

__version__: str
