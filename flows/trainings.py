"""The pipeline that trains the embedded priors: digests of its code, and weights that are accepted as they are.

`code.yaml` in the project's root has a digest of the code of every stage in `dvc.yaml`, as the one in a run's folder
has. DVC reads it as parameters: a change of code makes the stage out of date, a comment does not.
"""

from pathlib import Path

from flows.engine.declaration import write_if_new, yaml_of
from flows.engine.dvc_store import DvcStore
from flows.engine.fingerprint import fingerprint
from flows.engine.project import Project
from flows.engine.run_files import Damaged, Pipeline, read_form, read_lock
from stages.contract.entry import stage_names

REPAIR = "bring it back from git"
CODE, HEADER = "code.yaml", "# Digests of the trainings' code; written by `prior3d priors lock`.\n"


def pipeline(project: Project) -> list[str]:
    """The trainings in the project's `dvc.yaml`, in its order."""
    known, file = set(stage_names()), project.root / "dvc.yaml"
    described = read_form(file, Pipeline, REPAIR) if file.is_file() else {}
    return [name for name in described.get("stages") or {} if f"training.{name}" in known]


def code_digests(project: Project) -> dict[str, str]:
    """The digest of each training's code as it is now."""
    return {name: training_digest(name) for name in pipeline(project)}


def training_digest(name: str) -> str:
    """The digest of one training's code as it is now."""
    return fingerprint(f"stages.training.{name}")


def lock(project: Project) -> list[str]:
    """Write the digests of the code as it is now; the stages whose digest changed."""
    path, digests = project.root / CODE, code_digests(project)
    if not digests:
        return []
    try:
        before = read_form(path, dict[str, str])
    except Damaged:
        before = {}  # it is written again
    write_if_new(path, HEADER + yaml_of(digests))
    return [name for name, digest in digests.items() if before.get(name) != digest]


def accept(project: Project, stages: list[str]) -> list[str]:
    """Record in `dvc.lock` that the present code, parameters and data belong to the present outputs of stages.

    Nothing is run. Data that are not here keep the digest that `dvc.lock` has; a stage whose outputs are not here keeps
    its whole entry, because nothing can be said of them.

    Returns:
        A line for each stage: what was recorded, or why not.

    Raises:
        Prior3dError: an input is not here, and `dvc.lock` does not know it.
    """
    lock(project)
    store, lines = DvcStore(project.root), []
    states = store.file_states("dvc.yaml", stages)
    recorded = read_lock(project.root / "dvc.lock")
    for stage in stages:
        absent = [path for path, state in states[stage].outputs.items() if state == "deleted"]
        if absent:
            lines.append(f"{stage}: left as it was: {', '.join(absent)} is not here")
            continue
        store.accept("dvc.yaml", stage)
        inputs, outputs = states[stage].inputs, states[stage].outputs
        line = f"{stage}: accepted"
        for paths, what in (
            ([path for path, state in inputs.items() if state == "deleted"], "not here, keeps its digest"),
            ([path for path, state in inputs.items() if state == "modified"], "is not what it was made with"),
            ([path for path, state in outputs.items() if state == "modified"], "differs from what was recorded"),
        ):
            line += f"; {', '.join(paths)}: {what}" if paths else ""
        lines.append(line if stage in recorded else f"{stage}: accepted")
    return lines


def write_own_views(project: Project, name: str, data: Path, given: dict[str, int | float | str]) -> tuple[str, Path]:
    """Write the parameters of a views prior for a category of one's own, beside its checkpoints.

    Args:
        project: that gets the prior.
        name: of the prior.
        data: the category's folder.
        given: further parameters of the training.

    Returns:
        The section's name, and the file that it is in.
    """
    section = f"views-{name}"
    path = project.root / ".work" / "training" / section / "params.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_if_new(path, yaml_of({section: {"data": str(data), "out": f"data/priors/{name}", **given}}))
    write_if_new(path.with_name(CODE), yaml_of({section: training_digest("views")}))
    return section, path
