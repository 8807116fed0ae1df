"""What a stage printed before it failed: kept beside its checkpoints until it succeeds, for the run's page."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from flows.engine.run_files import derived
from prior3d.files import write_whole

NAME = "failure.json"


class Noted(TypedDict):
    """A failure as it is kept."""

    message: str
    output: list[str]


@dataclass(frozen=True)
class Failure:
    """How a stage failed.

    Attributes:
        stage: its name.
        message: what was said of it.
        output: the last lines that it printed, with its traceback if it crashed.
        when: UTC, ISO 8601.
    """

    stage: str
    message: str
    output: str
    when: str


def note_failure(run_folder: Path, stage: str, message: str, output: Sequence[str]) -> None:
    """Keep how a stage failed."""
    place = run_folder / ".work" / stage / NAME
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, json.dumps(Noted(message=message, output=list(output)), indent=1) + "\n")


def forget_failures(run_folder: Path, stages: Iterable[str]) -> None:
    """Forget them: the stages have their results."""
    for stage in stages:
        (run_folder / ".work" / stage / NAME).unlink(missing_ok=True)


def read_failures(run_folder: Path) -> list[Failure]:
    """The stages of a run that failed last time, the latest first."""
    places = sorted((run_folder / ".work").glob(f"*/{NAME}"), key=lambda p: p.stat().st_mtime, reverse=True)
    found = [(place, derived(place, Noted)) for place in places]
    return [
        Failure(p.parent.name, noted["message"].partition("\n")[0], "\n".join(noted["output"]), _when(p))
        for p, noted in found
        if noted is not None
    ]


def _when(place: Path) -> str:
    return datetime.fromtimestamp(place.stat().st_mtime, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
