"""Checkpoints of stages that were broken off: each holds a digest of itself."""

from pathlib import Path
from typing import Any

from flows.engine.run import Run
from flows.engine.run_files import derived
from flows.verification.findings import Check
from prior3d.seals import UNSEALED_CHECKPOINT, header, is_whole, json_is_whole


def check_checkpoints(check: Check, run: Run) -> None:
    """Read every checkpoint of a run; a damaged one is set aside, and its stage begins again."""
    for place in sorted((run.folder / ".work").glob("*/*/*")):
        if place.name == "elapsed.json":
            check.n_read["checkpoint"] += 1
            values = derived(place, dict[str, Any])
            if values is None or json_is_whole(values) is False:
                _set_aside(check, run, place, "it is damaged")
        elif place.suffix == ".safetensors" and place.is_file():
            check.n_read["checkpoint"] += 1
            problem = problem_of(place)
            if problem:
                _set_aside(check, run, place, problem)


def problem_of(place: Path) -> str:
    """What is wrong with a safetensors file; empty if nothing is known to be."""
    content = place.read_bytes()
    try:
        found = (header(content).get("__metadata__") or {}).get("format")
    except (ValueError, AttributeError):
        return "it is damaged"
    whole = is_whole(content)
    unsealed = whole is None and found == UNSEALED_CHECKPOINT
    return "" if whole or unsealed else "it is damaged"


def _set_aside(check: Check, run: Run, place: Path, problem: str) -> None:
    what = f"{run.name}: {place.relative_to(run.folder).as_posix()}"
    stage = place.relative_to(run.folder / ".work").parts[0]
    if check.heals:
        check.set_aside(place)
        check.found("checkpoint", what, problem, f"set aside: {stage} begins again")
    else:
        check.found("checkpoint", what, problem, remedy=f"delete it: {stage} begins again")
