"""Code that later stages import by name only: a change of it makes another artifact, and nothing of it is forgotten."""

import json

import pytest

from flows.engine.fingerprint import reached
from prior3d.splats.field import SplatsField, cameras_around
from stages.artifacts import splats as artifact
from stages.artifacts.drawing_code import DRAWS_SPLATS, code_of, digest_of_code
from stages.artifacts.splats import load_splats, save_splats
from tests.gaussian_splats import some_splats

MAKE = ("stages.scene_fit", "stages.splat_import", "stages.coarse_nerf")
TAKE = (
    "stages.capture_path", "stages.mesh_extraction", "stages.texture_baking", "stages.evaluation",
    "stages.rgb_refinement",
)  # fmt: skip
NOTES_IT = {"stages.artifacts.drawing_code"}  # computes the digest
NO_MESHES = ("stages.capture_path", "stages.rgb_refinement")
FOR_MESHES = {stage: {"prior3d.meshes.mesh"} for stage in NO_MESHES}


@pytest.mark.parametrize("stage", TAKE)
def test_what_draws_splats_is_in_the_key_or_in_the_digest(stage):
    by_name = reached("stages.artifacts.splats") - {"stages.artifacts.splats.stage"}
    assert sorted(by_name - reached(stage) - set(DRAWS_SPLATS) - NOTES_IT - FOR_MESHES.get(stage, set())) == []


@pytest.mark.parametrize("stage", MAKE)
def test_the_digest_is_of_code_in_the_key_of_what_makes_splats(stage):
    assert set(DRAWS_SPLATS) <= reached(stage)


def test_other_code_makes_another_artifact(tmp_path, monkeypatch):
    field = SplatsField(some_splats(n=3), cameras_around(8))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save_splats(tmp_path / name, field)
        monkeypatch.setattr(artifact, "digest_of_code", lambda: "other")
    one, two = (json.loads((tmp_path / name / "field.json").read_text()) for name in ("one", "two"))
    assert one["drawn_by"] == digest_of_code() and {k for k in one if one[k] != two[k]} == {"drawn_by"}
    assert load_splats(tmp_path / "two").config == field.config


def test_splats_of_earlier_versions_are_read(tmp_path):
    save_splats(tmp_path, SplatsField(some_splats(n=3), cameras_around(8)))
    described = json.loads((tmp_path / "field.json").read_text())
    del described["drawn_by"]
    (tmp_path / "field.json").write_text(json.dumps(described))
    assert load_splats(tmp_path).config.n_splats == 3


def test_words_are_no_code():
    plain = b"def f(x):\n    return x + 1\n"
    assert code_of(b'"""What it is."""\n' + plain) != code_of(plain.replace(b"1", b"2"))
    with_words = b'def f(x):\n    """Say it."""\n    return x + 1  # one\n'
    assert code_of(with_words) == code_of(with_words.replace(b"Say it.", b"Say it better.").replace(b"# one", b""))
    assert code_of(with_words) != code_of(with_words.replace(b"+ 1", b"+ 2"))
