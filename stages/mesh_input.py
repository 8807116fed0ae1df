"""What stages that take a person's mesh share: how it is read, repaired and placed, and that this is said."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from prior3d.errors import Prior3dError
from stages.entry import Job, StageParams

if TYPE_CHECKING:
    from prior3d.meshes.placement import Placement
    from prior3d.meshes.reading import GivenMesh

AxisName = Literal["auto", "x", "-x", "y", "-y", "z", "-z"]


class MeshParams(StageParams):
    """Parameters of every stage that takes a person's mesh; defaults suit the toy prior, which knows such objects."""

    up: AxisName = Field("auto", description="which axis of the file is up; auto: y of OBJ and GLB, z of PLY and STL")
    front: AxisName = Field("auto", description="where its front looks; auto: z of OBJ and GLB, x of PLY and STL")
    radius: float = Field(
        0.95,
        gt=0,
        le=1,
        description="distance of the farthest vertex from the centre, once scaled",
        json_schema_extra={"unit": "world units"},
    )
    centre: Literal["vertices", "box"] = Field(
        "box", description="what is put at the origin: the mean of the vertices (the paper), or the middle of their box"
    )
    max_faces: int = Field(1_000_000, ge=100, description="a mesh with more faces is decimated")
    decimated_faces: int = Field(100_000, ge=100, description="to this many")


def read_and_place(
    job: Job, name: str, params: MeshParams, lift: float = 0.0
) -> "tuple[GivenMesh, Placement, list[str]]":
    """The input mesh, usable but unmoved, where it belongs in the world, and what was repaired.

    Raises:
        Prior3dError: it cannot be read, or nothing usable is left of it.
    """
    from prior3d.meshes.placement import place, usual_axes
    from prior3d.meshes.reading import read_mesh
    from prior3d.meshes.repair import usable

    path = job.inputs[name]
    job.progress(0, 1, text=f"reading {path.name}")
    mesh, notes = usable(read_mesh(path), params.max_faces, params.decimated_faces)
    up, front = usual_axes(path.suffix, params.up, params.front)
    try:
        placement = place(mesh.vertices, up, front, params.radius, params.centre, lift)
    except Prior3dError as error:
        raise Prior3dError(f"{job.name}.up, {job.name}.front: {error}") from None
    return mesh, placement, notes


def say(job: Job, notes: list[str], step: int, total: int) -> None:
    """Say what was done to a mesh: on the progress line, on lines of their own, and in `notes.txt`."""
    for note in notes:
        print(f"{job.name}: {note}", flush=True)  # noqa: T201
    if notes:
        job.progress(step, total, text="; ".join(notes))
        (job.out / "notes.txt").write_text("\n".join(notes) + "\n", encoding="utf-8")
