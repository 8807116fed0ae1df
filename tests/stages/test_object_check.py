"""The check that a field shows an object: when it looks, what it says, and how a person overrules it."""

import pytest
import torch

from prior3d.errors import Prior3dError
from prior3d.fields import FieldConfig, ObjectField
from prior3d.settings.refresh import ObjectCheckSettings
from stages.contract.job import Job
from stages.contract.object_check import ObjectCheck

FOG, NOTHING, OBJECT = 3.0, -20.0, -3.0  # bias of the density's logit


def check_of(tmp_path, bias: float, accept: bool = False) -> ObjectCheck:
    config = FieldConfig(density_bias=bias, blob_density=0.0 if bias == NOTHING else 8.0)
    field = ObjectField(config, torch.Generator().manual_seed(0))
    job = Job("coarse_nerf", tmp_path, {}, tmp_path)
    return ObjectCheck(job, field, 32, ObjectCheckSettings(accept=accept), "make more", "make less")


def become(check: ObjectCheck, tmp_path, bias: float) -> None:
    check.field = check_of(tmp_path, bias).field


def test_an_object_passes_at_every_look(tmp_path):
    check = check_of(tmp_path, OBJECT)
    for step in range(100):
        check.before(step, 100)
    check.at_end()
    assert 0.005 < check.job.metrics["coverage"]["value"] < 0.75 and "opacity_entropy" in check.job.metrics


def test_fog_at_the_start_is_told_before_the_first_step(tmp_path):
    with pytest.raises(Prior3dError, match=r"coarse_nerf: the field fills the views .*make less; or keep it: "):
        check_of(tmp_path, FOG).before(0, 5000)


@pytest.mark.parametrize(("bias", "said"), [(FOG, "fills the views"), (NOTHING, "is empty")])
def test_two_wrong_looks_in_a_row_end_the_stage_and_one_does_not(tmp_path, bias, said):
    check = check_of(tmp_path, OBJECT)
    check.before(0, 100)
    become(check, tmp_path, bias)
    check.before(25, 100)
    check.before(26, 100)  # no look
    become(check, tmp_path, OBJECT)
    check.before(50, 100)
    become(check, tmp_path, bias)
    check.before(75, 100)
    with pytest.raises(Prior3dError, match=rf"{said}.*at step 100 of 100"):
        check.before(100, 100)
    with pytest.raises(Prior3dError, match=said):
        check.at_end()


def test_a_field_that_is_accepted_is_kept_and_said(tmp_path, capsys):
    check = check_of(tmp_path, FOG, accept=True)
    check.before(0, 100)
    check.at_end()
    assert "coarse_nerf: the field fills the views instead of being an object (88" in capsys.readouterr().out
    assert check.job.metrics["coverage"]["value"] > 0.75


def test_looks_draw_nothing_random(tmp_path):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    check_of(tmp_path, OBJECT).before(0, 100)
    assert torch.equal(before, torch.get_rng_state())
