import pytest

from prior3d.suggestions import did_you_mean

KNOWN = ("latent-nerf", "retexture", "scene")


@pytest.mark.parametrize(
    ("name", "near"), [("latentnerf", "latent-nerf"), ("retextur", "retexture"), ("scen", "scene")]
)
def test_the_nearest_name(name, near):
    assert did_you_mean(name, KNOWN, "none") == f"did you mean {near!r}?"
    assert did_you_mean(name, iter(KNOWN), "none", str) == f"did you mean {near}?"
    assert did_you_mean(name, KNOWN, "none", shown=lambda n: f"{n}.{{}}") == f"did you mean {near}.{{}}?"


@pytest.mark.parametrize(("name", "known"), [("qqq", KNOWN), ("", KNOWN), ("scene", ())])
def test_nothing_is_near(name, known):
    assert did_you_mean(name, known, "one of these") == "one of these"
