"""A person's mesh as stages take it: read, repaired, placed in the world; what was repaired is reported."""

from prior3d.errors import Prior3dError
from prior3d.meshes.given import GivenMesh
from prior3d.meshes.mesh import Placement
from prior3d.meshes.placement import default_axes, place_mesh
from prior3d.meshes.reading import read_mesh
from prior3d.meshes.repair import usable
from stages.contract.job import Job
from stages.contract.parameters import MeshParams


def read_and_place(
    job: Job, name: str, params: MeshParams, lift: float = 0.0, decimation: tuple[int, int] | None = None
) -> tuple[GivenMesh, Placement, list[str]]:
    """Read the input mesh, repair it, and find its place in the world.

    Args:
        job: of the stage.
        name: of the input.
        params: of the stage.
        lift: how far it is raised once scaled.
        decimation: above how many faces, and to how many, it is decimated; None leaves it as it is.

    Returns:
        The mesh, repaired but not moved; its placement; what was repaired, a sentence each.

    Raises:
        Prior3dError: it cannot be read, or nothing usable is left of it.
    """
    path = job.inputs[name]
    job.progress(0, 1, text=f"reading {path.name}")
    mesh, notes = usable(read_mesh(path), *(decimation or (None, 0)))
    up, front = default_axes(path.suffix, params.up, params.front)
    try:
        placement = place_mesh(mesh.vertices, up, front, params.radius, params.centre, lift)
    except Prior3dError as error:
        raise Prior3dError(f"{job.name}.up, {job.name}.front: {error}") from None
    return mesh, placement, notes


def report_repairs(job: Job, notes: list[str], step: int, total: int) -> None:
    """Report what was done to a mesh: on the progress line, on lines of their own, and in `notes.txt`."""
    for note in notes:
        print(f"{job.name}: {note}", flush=True)  # noqa: T201
    if notes:
        job.progress(step, total, text="; ".join(notes))
        (job.out / "notes.txt").write_text("\n".join(notes) + "\n", encoding="utf-8")
