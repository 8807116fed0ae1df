import json

import pytest
import torch

from prior3d.errors import Prior3dError
from prior3d.fields import DenseGrids, FieldConfig, ObjectField, TiledGrid
from stages.artifacts.base import load_metrics
from stages.artifacts.fields import check_field, load_field, save_field
from stages.artifacts.priors import check_prior
from stages.artifacts.renders import RENDER_FILES, check_renders
from stages.artifacts.texts import check_prompt

CONFIGS = [
    FieldConfig(encoding=DenseGrids((5, 9)), density_bias=-1.5),
    FieldConfig(encoding=TiledGrid(levels=2, log2_entries=6), hidden=8, head="rgb", channels=3),
]


@pytest.fixture
def saved(tmp_path):
    save_field(tmp_path, ObjectField(CONFIGS[0]))
    return tmp_path


@pytest.mark.parametrize("config", CONFIGS)
def test_a_field_comes_back_bit_exact(tmp_path, config):
    field = ObjectField(config)
    save_field(tmp_path, field)
    check_field(tmp_path)
    back = load_field(tmp_path)
    assert back.config == config
    points = torch.rand(20, 3)
    assert all(torch.equal(*pair) for pair in zip(field(points), back(points), strict=True))


@pytest.mark.parametrize("name", ["field.json", "field.safetensors"])
@pytest.mark.parametrize("kept", [None, 0, 40])
def test_a_damaged_field_is_refused_by_name(saved, name, kept):
    path = saved / name
    content = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(content[:kept])
    with pytest.raises(Prior3dError, match=name):
        check_field(saved)


def test_tensors_of_another_field_are_refused(saved, tmp_path):
    described = json.loads((saved / "field.json").read_text())
    described["encoding"]["resolutions"] = [5, 8]
    (saved / "field.json").write_text(json.dumps(described))
    with pytest.raises(Prior3dError, match=r"not that of field.json.*Run the stage that makes it again"):
        load_field(saved)


def test_a_field_that_diverged_is_not_saved(tmp_path):
    field = ObjectField(CONFIGS[0])
    with torch.no_grad():
        field.encoding.grids[0][0, 0, 0, 0] = float("nan")
    with pytest.raises(Prior3dError, match=r"encoding.grids.0 of the field is not finite.*learning_rate"):
        save_field(tmp_path, field)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"  \n", "the prompt is empty"),
        (b"x" * 10_000, "10,000 characters, the limit is 1,000"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_bad_prompts(tmp_path, content, message):
    (tmp_path / "prompt.txt").write_bytes(content)
    with pytest.raises(Prior3dError, match=message):
        check_prompt(tmp_path / "prompt.txt")


def test_a_good_prompt_and_a_good_prior_pass(tmp_path):
    (tmp_path / "prompt.txt").write_text("a red mushroom\n")
    check_prompt(tmp_path / "prompt.txt")
    (tmp_path / "prior.json").write_text('{"name": "toy", "digest": "12ab"}')
    check_prior(tmp_path / "prior.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not JSON"), ("[]", "found a JSON list"), ('{"name": "toy"}', "'digest' is missing")],
)
def test_bad_priors(tmp_path, content, message):
    (tmp_path / "prior.json").write_text(content)
    with pytest.raises(Prior3dError, match=message):
        check_prior(tmp_path / "prior.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"faces": 3}', "faces: found 3"),
        ('{"loss": {"value": NaN}}', "loss is nan"),
        ('{"a": {"value": "3"}}', "number"),
    ],
)
def test_bad_metrics(tmp_path, content, message):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(Prior3dError, match=message):
        load_metrics(tmp_path)


def test_renders_of_another_kind_are_refused(tmp_path):
    starts = [b"\x89PNG", b"\0\0\0\x20ftypisom", b"\x89PNG", b"{}", b"<!doctype html>"]
    for name, content in zip(RENDER_FILES, starts, strict=True):
        (tmp_path / name).write_bytes(content)
    check_renders(tmp_path)
    (tmp_path / "turntable.mp4").write_bytes(b"not a video at all")
    with pytest.raises(Prior3dError, match=r"turntable.mp4: its content is not .mp4"):
        check_renders(tmp_path)
