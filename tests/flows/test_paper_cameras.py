"""From where fields are judged, and finished objects shown."""

import pytest

from flows.methods import METHODS
from prior3d.cameras import ring
from stages import evaluation
from tests.flows.test_paper_presets import PRESETS, settings_of

SMALL = ("latent-nerf", "sketch-shape", "latent-paint", "realfusion")  # objects in `paper`: images are drawn closer


def test_the_check_looks_from_evaluations_cameras():
    shown = evaluation.Params()
    standard = ring(2)
    used = [values[0].item() for values in (standard.elevation_deg, standard.radius, standard.fov_deg)]
    assert [shown.elevation_deg, shown.radius, shown.fov_deg] == pytest.approx(used)
    for method in METHODS:
        for preset in PRESETS:
            chosen, close = settings_of(method, preset)["evaluation"], preset == "paper" and method in SMALL
            assert [chosen[name] for name in ("elevation_deg", "fov_deg")] == [15, 40]
            assert chosen["radius"] == (1.8 if close else 3.2)
