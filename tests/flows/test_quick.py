"""quick on the command line: what is refused before anything is written, which stages a run has, and whole runs."""

import pytest

from flows import quick
from flows.engine.parameters import split_switches
from prior3d.errors import Prior3dError

GIVEN = {"image_preparation", "view_preparation", "captioning"}


@pytest.mark.parametrize(
    ("given", "brought"),
    [
        (["prompt"], set()),
        (["image"], {"image_preparation", "captioning"}),
        (["prompt", "image"], {"image_preparation", "captioning"}),
        (["images"], {"view_preparation", "captioning"}),
    ],
)
def test_inputs_bring_their_stages(given, brought):
    chosen, _ = split_switches(quick.METHOD, [], given)
    names = {stage.name for stage in chosen.stages}
    assert names & GIVEN == brought
    known = names | {i.name for i in chosen.inputs}
    assert all(set(stage.inputs.values()) <= known for stage in chosen.stages)
    assert ("scorer" in known) == ("captioning" in names)


def test_a_stage_that_an_input_brings_is_not_switched_by_hand():
    with pytest.raises(Prior3dError, match="quick has captioning only with --image or --images"):
        split_switches(quick.METHOD, ["captioning.most_images=2"], ["prompt"])
    with pytest.raises(Prior3dError, match="quick has no optional stage 'captioning'"):
        split_switches(quick.METHOD, ["captioning=on"], ["image"])
