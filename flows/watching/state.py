"""How far a run has come, read from the files that its stages keep anyway."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from flows.engine.run import Run
from flows.engine.run_files import derived
from prior3d.locks import is_held
from stages.contract.curves import LossCurve


class Losses(TypedDict):
    """A loss curve as a stage keeps it."""

    total: int
    last: int
    sums: list[list[float]]


class Elapsed(TypedDict):
    """What a stage notes at its checkpoints."""

    seconds: float
    losses: Losses


@dataclass(frozen=True)
class State:
    """A run at one moment.

    Attributes:
        stage: the stage that runs now; empty before the first one starts.
        step: its steps up to its last checkpoint.
        total: all steps; 0 while unknown.
        seconds: its working time.
        losses: (step, loss) so far.
        field: the newest field, as a checkpoint or as the folder of a finished stage; None until there is one.
        field_stage: the stage that made the field.
        preview: the newest preview image; None without one.
    """

    stage: str = ""
    step: int = 0
    total: int = 0
    seconds: float = 0.0
    losses: list[tuple[float, float]] = field(default_factory=list)
    field: Path | None = None
    field_stage: str = ""
    preview: Path | None = None


def is_running(run: Run) -> bool:
    """Whether a process holds the run."""
    return is_held(run.folder / ".work" / "run.lock")


def read_state(run: Run, stages: list[str]) -> State:
    """The present state of a run.

    Args:
        run: the run.
        stages: those of its method, in order.
    """
    work = _newest(run.folder / ".work", stages)
    made = [s for s in stages if (run.folder / s / "field.safetensors").is_file()]
    if work is None:
        return State(field=run.folder / made[-1] if made else None, field_stage=made[-1] if made else "")
    stage, folder = work
    seconds, curve = _elapsed(folder / "elapsed.json")
    before = [s for s in made if stages.index(s) < stages.index(stage)]
    checkpoint, preview = _checkpoint(folder), folder / "preview.png"
    of = stage if checkpoint.is_file() else before[-1] if before else ""
    return State(
        stage=stage,
        step=curve.last,
        total=curve.total,
        seconds=seconds,
        losses=[(point["step"], point["loss"]) for point in curve.points()],
        field=checkpoint if of == stage else run.folder / of if of else None,
        field_stage=of,
        preview=preview if preview.is_file() else None,
    )


def _checkpoint(folder: Path) -> Path:
    """The checkpoint of a stage's work folder: of the latest phase, where it has phases."""
    phases = [p for p in folder.glob("phase_*.safetensors") if not p.name.endswith(".end.safetensors")]
    return max([folder / "checkpoint.safetensors", *phases], key=_modified)


def _newest(work: Path, stages: list[str]) -> tuple[str, Path] | None:
    """The stage that wrote to its checkpoint folder last, and the folder."""
    found = []
    for stage in stages:
        for folder in (work / stage).glob("*/"):
            times = [_modified(p) for p in (folder, folder / "elapsed.json", work / stage / "lock")]
            found.append((max(times), stage, folder))
    return max(found)[1:] if found else None


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # just finished, and removed
        return 0.0


def _elapsed(path: Path) -> tuple[float, LossCurve]:
    values = derived(path, Elapsed)
    if values is None or any(len(each) != 3 for each in values["losses"]["sums"]):
        return 0.0, LossCurve()  # no checkpoint yet
    return values["seconds"], LossCurve.from_state(values["losses"])
