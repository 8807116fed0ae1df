"""All stages' parameters: described, in groups that a person can survey, and old names answered with new ones."""

import importlib

import pytest

from prior3d.errors import Prior3dError
from stages.contract.entry import stage_names
from stages.contract.parameters import check_params, kinds_of, merged, settings_fields

STAGES = [name for name in stage_names() if "." not in name]
MOST_FIELDS = 20


def fields(kind, prefix=""):
    """Dotted name -> FieldInfo of every value of a model, those of its groups too."""
    found = {}
    for name, info in settings_fields(kind).items():
        inner = fields(info.annotation, f"{prefix}{name}.")
        found |= inner or {f"{prefix}{name}": info}
    return found


def groups(kind):
    """A model and every settings class in it, those of a group that comes in kinds too."""
    if kinds := kinds_of(kind):
        return [group for each in kinds.values() for group in groups(each)]
    inner = [info.annotation for info in settings_fields(kind).values() if settings_fields(info.annotation)]
    return [kind] + [group for part in inner for group in groups(part)]


@pytest.mark.parametrize("stage", STAGES)
def test_every_parameter_is_described_and_no_group_is_too_large(stage):
    params = importlib.import_module(f"stages.{stage}").Params
    assert [name for name, info in fields(params).items() if not info.description] == []
    sizes = {group.__name__: len(settings_fields(group)) for group in groups(params)}
    assert max(sizes.values()) <= MOST_FIELDS, sizes


@pytest.mark.parametrize("stage", STAGES)
def test_presets_are_valid(stage):
    module = importlib.import_module(f"stages.{stage}")
    for values in module.PRESETS.values():
        check_params(module.Params, dict(values), stage)


@pytest.mark.parametrize("stage", STAGES)
def test_an_old_name_is_answered_with_the_new_one(stage):
    params = importlib.import_module(f"stages.{stage}").Params
    now = fields(params)
    for old, new in params.renamed.items():
        assert new in now and old not in params.model_fields, (old, new)
        with pytest.raises(Prior3dError, match=f"{stage}.{old} is now called {stage}.{new}"):
            check_params(params, {old: 1}, stage)


def test_a_part_of_a_group_leaves_the_rest_as_the_stage_has_it():
    from stages.coarse_nerf import Params

    found = check_params(Params, {"surface": {"entropy_weight": 0.5}}, "coarse_nerf")
    assert (found.surface.entropy_weight, found.surface.sparsity_weight) == (0.5, 0.1)  # 0.0 is the group's own default
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": 4}) == {"a": {"b": 3, "c": 2}, "d": 4}


def test_unknown_names_are_answered_with_near_ones():
    from stages.coarse_nerf import Params

    for values, hint in (
        ({"sds": {"guidance_scal": 3}}, "coarse_nerf.sds.guidance_scal: .* mean coarse_nerf.sds.guidance_scale?"),
        ({"guidance_scal": 3}, "did you mean coarse_nerf.sds.guidance_scale?"),
        ({"stepps": 3}, "did you mean coarse_nerf.steps?"),
        ({"sds": {"qqq": 3}}, "known: loss, weight, guidance_scale, guidance_rescale"),
    ):
        with pytest.raises(Prior3dError, match=hint):
            check_params(Params, values, "coarse_nerf")


@pytest.mark.parametrize("written", ["150,250,400", "150 250, 400"])
def test_a_list_without_brackets_is_answered_with_how_to_write_it(written):
    from stages.scene_fit import Params

    said = r"scene_fit.steps: is a list, which stands in brackets: scene_fit.steps=\[150,250,400\]; found '150"
    with pytest.raises(Prior3dError, match=said):
        check_params(Params, {"steps": written}, "scene_fit")


def test_a_list_of_wrong_values_is_not_called_too_short():
    from stages.scene_fit import Params

    with pytest.raises(Prior3dError) as told:
        check_params(Params, {"splats": {"counts": [10_000_000]}}, "scene_fit")
    found = "scene_fit.splats.counts: input should be less than or equal to 5000000; found 10000000"
    assert str(told.value) == found
    with pytest.raises(Prior3dError, match="scene_fit.splats.counts: tuple should have at least 1 item"):
        check_params(Params, {"splats": {"counts": []}}, "scene_fit")
