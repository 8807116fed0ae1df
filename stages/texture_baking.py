"""The field's colours on the mesh: an atlas, baked as a camera would see the field, in a GLB and an OBJ.

A field's colours are grainy: that is smoothed away, edges are kept. With a picture of the object, the texels that its
camera sees are then fitted to its pixels, which are sharper than the field's colours along a normal.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from prior3d.errors import Prior3dError
from stages import artifacts, image_artifacts
from stages.entry import Job, StageParams, main
from stages.shown_picture import showing_picture

if TYPE_CHECKING:
    from prior3d.fields import Field as RadianceField
    from prior3d.meshes.mesh import TexturedMesh


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
    smoothing: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="how far colours are smoothed over the surface; 0 leaves their grain",
        json_schema_extra={"unit": "world units"},
    )
    edge: float = Field(
        0.1,
        gt=0,
        le=2,
        description="smoothing: colours much farther apart are not mixed",
        json_schema_extra={"unit": "of colour range"},
    )
    picture_steps: int = Field(
        20,
        ge=0,
        le=1000,
        description="with a picture: steps that fit the texture to its pixels; 0 leaves the field's colours",
        json_schema_extra={"unit": "steps"},
    )


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"resolution": 1024}}
INPUTS = {"mesh": artifacts.Mesh, "field": artifacts.Field, "image": image_artifacts.ObjectImage}
OPTIONAL_INPUTS = frozenset({"image"})
OUTPUT = artifacts.TexturedMesh


def run(job: Job, params: Params) -> None:
    """Bake the texture."""
    from prior3d.meshes.baking import bake

    field = rgb_field(job)
    mesh = artifacts.Mesh.load(job.inputs["mesh"])
    textured, numbers = bake(mesh, field, params.resolution, params.shell, job.device, job.progress)
    textured = finished(job, params, textured)
    artifacts.TexturedMesh.save(job.out, textured)
    job.metric("charts", numbers["charts"], "charts", higher_is_better=False)
    job.metric("texture_use", numbers["texture_use"], "of texels", n=params.resolution**2, higher_is_better=True)
    job.metric("glb_size", (job.out / "mesh.glb").stat().st_size / 1e6, "MB", higher_is_better=False)


def finished(job: Job, params: Params, mesh: "TexturedMesh") -> "TexturedMesh":
    """The mesh with its texture smoothed and, if there is an input picture, showing that from its camera."""
    from dataclasses import replace

    import torch

    from prior3d.meshes.painting import Surface
    from prior3d.meshes.placement import HERE
    from prior3d.meshes.texture_smoothing import smooth_texture
    from prior3d.meshes.uv import UvMesh

    surface = UvMesh(mesh.vertices, mesh.faces, mesh.uv, mesh.faces, HERE)
    texture = torch.from_numpy(mesh.texture).to(job.device)
    texture = smooth_texture(surface, texture, params.smoothing, params.edge)
    if "image" not in job.inputs:
        return replace(mesh, texture=texture.cpu().numpy())
    fitted = showing_picture(job, Surface(surface, job.device), texture, params.picture_steps)
    return replace(mesh, texture=fitted.cpu().numpy())


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
