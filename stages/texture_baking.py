"""The field's colours on the mesh: an atlas, baked as a camera would see the field, in a GLB and an OBJ."""

from typing import TYPE_CHECKING

from pydantic import Field

from prior3d.errors import Prior3dError
from stages import artifacts
from stages.entry import Job, StageParams, main

if TYPE_CHECKING:
    from prior3d.fields import Field as RadianceField


class Params(StageParams):
    """What the stage can be told."""

    resolution: int = Field(
        512, ge=32, le=8192, description="side of the texture", json_schema_extra={"unit": "texels"}
    )
    shell: float = Field(
        0.06,
        gt=0,
        le=0.5,
        description="a texel shows what a short ray sees from this far outside the surface to twice as far inside",
        json_schema_extra={"unit": "world units"},
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"resolution": 1024}}
INPUTS = {"mesh": artifacts.Mesh, "field": artifacts.Field}
OUTPUT = artifacts.TexturedMesh


def run(job: Job, params: Params) -> None:
    """Bake the texture."""
    from prior3d.meshes.baking import bake

    field = rgb_field(job)
    mesh = artifacts.Mesh.load(job.inputs["mesh"])
    textured, numbers = bake(mesh, field, params.resolution, params.shell, job.device, job.progress)
    artifacts.TexturedMesh.save(job.out, textured)
    job.metric("charts", numbers["charts"], "charts", higher_is_better=False)
    job.metric("texture_use", numbers["texture_use"], "of texels", n=params.resolution**2, higher_is_better=True)
    job.metric("glb_size", (job.out / "mesh.glb").stat().st_size / 1e6, "MB", higher_is_better=False)


def rgb_field(job: Job) -> "RadianceField":
    """The input field, which must hold colours.

    Raises:
        Prior3dError: it holds latents.
    """
    field = artifacts.Field.load(job.inputs["field"], job.device)
    if field.config.head != "rgb":
        raise Prior3dError(
            f"{job.name}: the input field holds {field.config.head}s, but colours are needed. "
            "Give the output of rgb_refinement as --field."
        )
    return field


if __name__ == "__main__":
    main("stages.texture_baking")
