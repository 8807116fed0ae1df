"""Open3D without its drawing in a browser, which nothing here uses and which wants Dash and Plotly.

`import open3d` imports `open3d.visualization.draw_plotly`, and with it both. A stand-in has that module's place until
one of its functions is called; then Open3D's own module is imported. So Open3D works where Dash and Plotly are not
installed (`dependencies/left_out.txt`), and starts faster where they are.
"""

import importlib
import importlib.machinery
import sys
from collections.abc import Callable
from types import ModuleType

PLACE = "open3d.visualization.draw_plotly"
NAMES = ("draw_plotly", "draw_plotly_server", "get_plotly_fig")


def postpone() -> None:
    """Put the stand-in into its place; nothing happens where Open3D is imported already."""
    if "open3d" in sys.modules or PLACE in sys.modules:
        return
    stand_in = ModuleType(PLACE, "A stand-in of prior3d.open3d_viewer.")
    stand_in.__spec__ = importlib.machinery.ModuleSpec(PLACE, None)
    for name in NAMES:
        setattr(stand_in, name, _late(name))
    sys.modules[PLACE] = stand_in


def _late(name: str) -> Callable[..., object]:
    def call(*values: object, **named: object) -> object:
        sys.modules.pop(PLACE, None)
        return getattr(importlib.import_module(PLACE), name)(*values, **named)

    return call
