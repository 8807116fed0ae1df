"""What stages that take a person's mesh share: how it is read, repaired and placed, and that this is said."""

from prior3d.errors import Prior3dError
from prior3d.meshes.mesh import Placement
from prior3d.meshes.placement import default_axes, place_mesh
from prior3d.meshes.reading import GivenMesh, read_mesh
from prior3d.meshes.repair import usable
from stages.contract.job import Job
from stages.contract.parameters import MeshParams


def read_and_place(
    job: Job, name: str, params: MeshParams, lift: float = 0.0
) -> tuple[GivenMesh, Placement, list[str]]:
    """The input mesh, usable but unmoved, where it belongs in the world, and what was repaired.

    Raises:
        Prior3dError: it cannot be read, or nothing usable is left of it.
    """
    path = job.inputs[name]
    job.progress(0, 1, text=f"reading {path.name}")
    mesh, notes = usable(read_mesh(path), params.max_faces, params.decimated_faces)
    up, front = default_axes(path.suffix, params.up, params.front)
    try:
        placement = place_mesh(mesh.vertices, up, front, params.radius, params.centre, lift)
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
