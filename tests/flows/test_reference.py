"""Help texts that are made from declarations."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass

from flows.engine.method import Stage
from flows.methods import METHODS
from flows.reference import method_reference, parameter_lines, stage_reference


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Distillation:
    """Score distillation."""

    weight: float = Field(1.0, ge=0, description="weight of the loss")
    size: int = Field(32, gt=8, le=64, description="side of a render", json_schema_extra={"unit": "pixels"})


class Params(BaseModel):
    steps: int = Field(70, ge=0, description="steps", json_schema_extra={"unit": "steps"})
    sds: Distillation = Distillation()
    clip: Distillation = Field(Distillation(weight=0.5), description="guidance by a scorer")


def test_parameters_have_default_unit_range_and_description():
    assert parameter_lines(Params)[:2] == ["steps = 70 steps (at least 0)", "    steps"]


def test_groups_have_a_heading_and_dotted_names():
    lines = parameter_lines(Params)
    assert lines[2:6] == ["", "sds: Score distillation.", "sds.weight = 1.0 (at least 0)", "    weight of the loss"]
    assert "sds.size = 32 pixels (above 8, at most 64)" in lines and "clip: guidance by a scorer" in lines
    assert "clip.weight = 0.5 (at least 0)" in lines  # the group's own default


def test_a_stage_tells_what_its_presets_change():
    text = stage_reference(METHODS["latent-nerf"].stage("coarse_nerf"))
    for part in ("inputs:", "prompt: ", "output: ", "parameters:", "steps = ", "preset paper:", "guidance_scale = 100"):
        assert part in text
    assert "  python -m stages coarse_nerf --prompt PATH" in text


def test_every_method_and_every_parameter_has_a_text():
    for method in METHODS.values():
        text = method_reference(method)
        for stage in method.stages:
            assert f"\n{stage.name}: " in text
            check_described(stage)


def check_described(stage: Stage):
    lines = parameter_lines(stage.load().Params)
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if " = " in line and not line.startswith(" "):
            assert following.startswith("    "), f"{stage.name}: {line} has no description"
