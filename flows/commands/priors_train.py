"""`prior3d priors train | fetch-objects | lock | accept`: the pipeline that makes priors.

Also views priors for your own category, and the real objects that priors can be trained on.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from flows import trainings
from flows.engine.declaration import yaml_of
from flows.engine.project import Project, find_project
from flows.engine.run_files import Pipeline, PipelineStage, read_form
from flows.terminal import Parser, say
from prior3d.diffusion.embedded import PACKAGE_PARENT, embedded_names, embedded_prior
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

NO_PIPELINE = "{file} trains no priors: training needs a checkout of prior3d with its pipeline"
STUDENTS = "data/students/"
TRAINING_WORDS = ("steps", "minutes", "device")  # options of a views prior's own training


def train(words: list[str]) -> int:
    """`prior3d priors train NAME`: run the pipeline's stages that make it, and the stages that they need."""
    parser = Parser.of("priors train", "Run the pipeline's stages that make a prior, or a student of one.")
    parser.add_argument("name", metavar="NAME", help="a prior or student of the pipeline, or views with --data")
    parser.add_argument("--data", type=Path, help="views: a category of your own, in CO3Dv2's layout")
    parser.add_argument("--out", metavar="NAME", help="views: the prior's name (default: views-FOLDER)")
    parser.add_argument("--steps", type=int, help="views: training steps (default: 20,000)")
    parser.add_argument("--minutes", type=float, help="views: stop training after this time")
    parser.add_argument("--device", help="views: auto, cpu, cuda, cuda:N or mps (default: cpu)")
    args = parser.parse_args(words)
    name, project = args.name, find_project(Path.cwd())
    if args.data is not None:
        return train_views(project, args)
    given = [f"--{word}" for word in ("out", *TRAINING_WORDS) if getattr(args, word) is not None]
    if given:
        raise Prior3dError(f"{', '.join(given)}: only with --data; the training of {name} is set in params.yaml")
    stages = making(project, name)
    trainings.lock(project)
    line = [sys.executable, "-m", "dvc", "repro", *repro_words(project, stages)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    code = subprocess.run(line, cwd=project.root, env={**os.environ, "PATH": path}).returncode
    if code:
        raise Prior3dError(f"training of {name} ended with exit code {code}; to resume: prior3d priors train {name}")
    return 0


def train_views(project: Project, args: argparse.Namespace) -> int:
    """`prior3d priors train views --data FOLDER`: a views prior for your own category."""
    if args.name != "views":
        raise Prior3dError(
            f"prior3d priors train {args.name} --data: only a views prior is trained on data of your own"
        )
    data = args.data.expanduser().resolve()
    if not (data / "frame_annotations.jgz").is_file():
        raise Prior3dError(f"--data {args.data}: it has no frame_annotations.jgz; give a category in CO3Dv2's layout")
    if args.steps is not None and args.steps < 1:
        raise Prior3dError(f"--steps {args.steps}: use at least 1")
    if args.minutes is not None and not 0 < args.minutes < math.inf:
        raise Prior3dError(f"--minutes {args.minutes}: use a number above 0")
    if args.device is not None:
        from prior3d.devices import choose_device  # start-up: it imports torch, which takes a second

        choose_device(args.device)
    name = args.out or f"views-{data.name}"
    if "/" in name or name in embedded_names():
        raise Prior3dError(f"--out {name}: choose a name without a slash that no embedded prior has")
    given = {word: getattr(args, word) for word in TRAINING_WORDS if getattr(args, word) is not None}
    section, settings = trainings.write_own_views(project, name, data, given)
    line = [sys.executable, "-m", "stages", "training.views", "--vae", str(embedded_prior("toy") / "vae")]
    line += ["--name", section, "--params", str(settings)]
    path = os.pathsep.join([str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")])
    if code := subprocess.run(line, cwd=project.root, env={**os.environ, "PYTHONPATH": path}).returncode:
        raise Prior3dError(f"training ended with exit code {code}; the same command resumes at its last checkpoint")
    return say(f"data/priors/{name} is trained; next: prior3d run sparsefusion --images FOLDER --prior {name}")


def fetch_objects(words: list[str]) -> int:
    """`prior3d priors fetch-objects [--from FILE.deb | FOLDER]`."""
    what = "Bring the real objects here that priors can be trained on: 585 models, 120 MB. They stay out of git."
    parser = Parser.of("priors fetch-objects", what)
    parser.add_argument(
        "--from", dest="source", metavar="PATH", type=Path,
        help="Debian's package sweethome3d-furniture 1.8-1, or a folder with it or its .sh3f files (default: apt)",
    )  # fmt: skip
    source, project = parser.parse_args(words).source, find_project(Path.cwd())
    if not trainings.pipeline(project):
        raise Prior3dError(NO_PIPELINE.format(file=project.root))
    line = [sys.executable, "-m", "stages", "training.fetch_objects"]
    with tempfile.TemporaryDirectory() as here:
        if source is not None:
            settings = Path(here) / "params.yaml"
            settings.write_text(yaml_of({"fetch_objects": {"source": str(source.expanduser().resolve())}}))
            line += ["--params", str(settings)]
        path = os.pathsep.join([str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")])
        code = subprocess.run(line, cwd=project.root, env={**os.environ, "PYTHONPATH": path}).returncode
    if code:
        raise Prior3dError(f"real objects were not fetched (exit code {code}); the reason stands above")
    return say("data/objects has the models, CREDITS.md whom they are from; next: prior3d priors train toy")


def lock(words: list[str]) -> int:
    """`prior3d priors lock`."""
    Parser.of("priors lock", "Record the code of the trainings in code.yaml.").parse_args(words)
    project = find_project(Path.cwd())
    if not trainings.pipeline(project):
        raise Prior3dError(NO_PIPELINE.format(file=project.root))
    return say(f"code.yaml: {', '.join(trainings.lock(project)) or 'nothing'} changed")


def accept(words: list[str]) -> int:
    """`prior3d priors accept [NAME ...]`."""
    what = "Record in dvc.lock that the present code belongs to the present weights. Nothing is trained."
    parser = Parser.of("priors accept", what)
    parser.add_argument("names", metavar="NAME", nargs="*", help="priors of the pipeline (default: all of its stages)")
    names, project = parser.parse_args(words).names, find_project(Path.cwd())
    stages = [stage for name in names for stage in making(project, name)] or trainings.pipeline(project)
    return say("\n".join(trainings.accept(project, list(dict.fromkeys(stages)))))


def repro_words(project: Project, stages: list[str]) -> list[str]:
    """Words behind `dvc repro`: the stages and, of a student, those that make its data, without what made its teacher.

    The teacher's weights are in git, the data that they were trained on are not: DVC would train it anew. A student is
    made whenever it is asked for, because DVC does not know that there are more finished runs than before.
    """
    described, makers, data = described_stages(project), dict[str, str](), list[str]()
    for stage, found in described.items():
        makers |= {path: stage for path in paths_of(found, "outs")}
    if not any(path.startswith(STUDENTS) for stage in stages for path in paths_of(described[stage], "outs")):
        return stages
    for path in (path for stage in stages for path in paths_of(described[stage], "deps")):
        if path in makers and not path.startswith("data/priors/"):
            data.append(makers[path])
    return ["--single-item", "--force", *dict.fromkeys([*data, *stages])]


def described_stages(project: Project) -> dict[str, PipelineStage]:
    """The stages in the project's `dvc.yaml`; none where there is no such file."""
    file = project.root / "dvc.yaml"
    return (read_form(file, Pipeline, trainings.REPAIR).get("stages") if file.is_file() else None) or {}


def paths_of(described: PipelineStage, kind: Literal["outs", "deps"]) -> list[str]:
    """The paths of a stage's outputs or dependencies."""
    return [path if isinstance(path, str) else next(iter(path)) for path in described.get(kind) or []]


def making(project: Project, name: str) -> list[str]:
    """The pipeline's stages whose outputs lie in `data/priors/NAME` or `data/students/NAME`.

    Raises:
        Prior3dError: the project has no such pipeline.
    """
    found = dict[str, list[str]]()
    for stage, described in described_stages(project).items():
        for out in paths_of(described, "outs"):
            parts = Path(out).parts
            if parts[:2] in (("data", "priors"), ("data", "students")) and len(parts) > 2:
                found.setdefault(parts[2], []).append(stage)
    if name in found:
        return list(dict.fromkeys(found[name]))
    if not found:
        raise Prior3dError(NO_PIPELINE.format(file=project.root))
    hint = did_you_mean(name, found, f"it makes {', '.join(found)}")
    raise Prior3dError(f"{project.root / 'dvc.yaml'} makes no prior {name!r}; {hint}")
