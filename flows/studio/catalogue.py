"""What studio offers: the methods by what a person has, what a form would make, and how long that took before."""

import re
import statistics
from functools import lru_cache
from typing import Any

from flows.engine.dvc_store import DvcStore
from flows.engine.method import Input, Method
from flows.engine.plan import make_plan
from flows.engine.project import Project
from flows.engine.session import wanted_stages
from flows.known_priors import known_priors
from flows.methods import METHODS
from flows.request import Request
from flows.versions.history import find_version
from flows.versions.summaries import summaries
from prior3d.errors import Prior3dError

OPTION = re.compile(r"--([a-z][a-z-]*)")
STARTS = {
    "words": "Words",
    "image": "Image",
    "images": "Images",
    "mesh": "Mesh",
    "scene": "Scene",
    "photos": "Photos",
    "splats": "Splats",
}
OF_INPUT = {name: name for name in STARTS if name != "words"} | {"shape": "mesh"}
MOST_RUNS = 12  # that an estimate looks at


def starts_of(method: Method) -> list[str]:
    """What a person has who may want a method: words, an image, posed images, a mesh, a scene, photos, splats."""
    main = [i for i in method.inputs if i.default is None or i.name in method.one_of]
    files = [OF_INPUT[i.name] for i in main if i.name in OF_INPUT]
    if method.one_of:
        chosen = ["words" if i.kind == "text" else OF_INPUT[i.name] for i in main if i.name in method.one_of]
        return list(dict.fromkeys(chosen))
    return ["mesh"] if "mesh" in files else files[:1] or ["words"]


def catalogue() -> dict[str, Any]:
    """Everything that the page has to know of the methods."""
    roles: dict[str, list[str]] = {}
    for known in known_priors():
        roles.setdefault(known.role, []).append(known.name)
    methods = [
        {
            "name": method.name,
            "summary": method.summary,
            "starts": starts_of(method),
            "one_of": list(method.one_of),
            "apart": list(method.apart),
            "inputs": [_input(declared, roles) for declared in method.inputs],
        }
        for method in METHODS.values()
    ]
    return {"starts": list(STARTS.items()), "methods": methods}


def _input(declared: Input, roles: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "name": declared.name,
        "kind": declared.kind,
        "help": without_dashes(declared.help),
        "required": declared.default is None,
        "default": declared.default or "",
        "suffixes": list(declared.suffixes),
        "what": {"mesh": "mesh", "shape": "mesh", "splats": "splats"}.get(declared.name, "image"),
        "known": roles.get(declared.role or "", []),
        "longest": declared.longest,
    }


def without_dashes(text: str) -> str:
    """A text of the command line for a page: `--mask` is called `mask` there."""
    return OPTION.sub(lambda found: found[1].replace("-", " "), text)


def plan_of(project: Project, request: Request) -> dict[str, Any]:
    """What a request would make, and about how long each stage took in earlier runs of the method."""
    stages = wanted_stages(request.declaration, request.options.stop_after)
    plan = make_plan(request.run, request.declaration, DvcStore(project.root), stages)
    took = seconds_of(project, request.declaration.method.name)
    known = [0.0 if step.action == "keep" else took.get(step.stage) for step in plan.steps]
    steps = [
        {"stage": step.stage, "action": step.action, "reasons": list(step.reasons), "seconds": seconds}
        for step, seconds in zip(plan.steps, known, strict=True)
    ]
    total = None if None in known else round(sum(seconds or 0.0 for seconds in known), 1)
    return {"run": request.run.name, "exists": request.run.exists(), "steps": steps, "seconds": total}


def seconds_of(project: Project, method: str) -> dict[str, float]:
    """Stage -> the median of its seconds in the latest runs of a method in this project."""
    runs = [s for s in summaries(project) if s.method == method and not s.problem and s.n_made]
    runs = sorted(runs, key=lambda s: str(s.values.get("when", "")))[-MOST_RUNS:]
    return _medians(project, tuple((s.name, str(s.values.get("when", ""))) for s in runs))


@lru_cache(maxsize=32)
def _medians(project: Project, runs: tuple[tuple[str, str], ...]) -> dict[str, float]:
    """Read once for the same versions: the page asks every second."""
    found: dict[str, list[float]] = {}
    for name, _ in runs:
        try:
            costs = find_version(project, name).cost()
        except Prior3dError:
            continue  # `ls` says what is wrong with that run
        for stage, cost in costs.items():
            if "seconds" in cost:
                found.setdefault(stage, []).append(cost["seconds"])
    return {stage: round(statistics.median(values), 1) for stage, values in found.items()}
