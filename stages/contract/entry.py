"""What every `python -m stages NAME` shares: parameters, inputs, checkpoints, the artifact's last check, exit codes.

A stage runs with the run folder as its current folder. It writes into a partial folder, which takes the place of the
stage's output folder only when `run` returned and the artifact passed its own check. A training (`training.NAME`) runs
in the project's root, under the same contract but for one thing: it writes into the project's `data` itself.
Exit codes: 0 done; 2 an error that a person can put right (one line on stderr); 143 stopped at a checkpoint; 1 a bug.
"""

import argparse
import contextlib
import errno
import fcntl
import importlib
import json
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from prior3d.errors import Prior3dError
from prior3d.files import write_whole
from prior3d.suggestions import did_you_mean
from stages.contract.job import Job, Stopped, work_digest
from stages.contract.parameters import check_params
from stages.contract.telling import out_of_gpu_memory, warnings_as_lines
from stages.contract.yaml_text import read_mapping

LOCK_WAIT_S = 30.0
TRAINING_CHECKPOINT_EVERY_S = 60.0  # a checkpoint of hundreds of megabytes takes a second
CARD_FILES = frozenset({"README.md", "scores.json", "samples.png", "mistakes.png"})  # they describe a prior only
STAGES = Path(__file__).resolve().parents[1]
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EROFS: "the disk is read-only",
    errno.EDQUOT: "the quota is used up",
}


def main(argv: list[str], cwd: Path) -> int:
    """The one door, `python -m stages NAME ...`.

    Args:
        argv: the stage's name (with dots: a module outside this package), then its command line.
        cwd: the run's folder.

    Returns:
        The exit code.
    """
    if not argv or argv[0].startswith("-"):
        return _fail(f"name a stage: python -m stages NAME, one of {', '.join(stage_names())}", 2)
    name = argv[0]
    elsewhere = "." in name and not name.startswith("training.")
    if not elsewhere and name not in stage_names():
        hint = did_you_mean(name, stage_names(), f"stages: {', '.join(stage_names())}", str)
        return _fail(f"there is no stage {name!r}; {hint}", 2)
    return execute(name if elsewhere else f"stages.{name}", argv[1:], cwd)


def stage_names() -> list[str]:
    """Every stage: the packages under `stages/` and `stages/training/` that have a body."""
    found = [body.parent for pattern in ("*/stage.py", "training/*/stage.py") for body in STAGES.glob(pattern)]
    return sorted(".".join(package.relative_to(STAGES).parts) for package in found)


def execute(module_name: str, argv: list[str], cwd: Path) -> int:
    """Run a stage in this process.

    Args:
        module_name: of its declaration, e.g. `stages.coarse_nerf`; its body is the module `stage` in there.
        argv: its command line: one `--INPUT PATH` an input, relative to `cwd`, and perhaps `--name NAME` and
            `--params FILE`.
        cwd: the run's folder.

    Returns:
        The exit code; nothing is raised.
    """
    try:
        _run(importlib.import_module(module_name), module_name, argv, cwd.resolve())
        return 0
    except Prior3dError as error:
        return _fail(str(error), 2)
    except Stopped:
        return _fail("stopped at its checkpoint", 143)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            return _fail(f"{DISK_ERRORS[error.errno]}: {error.filename or cwd}; make room there and run it again", 2)
        traceback.print_exc()
    except KeyboardInterrupt:
        return _fail("interrupted", 143)
    except Exception:
        traceback.print_exc()
    return 1


def _fail(message: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.stderr.flush()
    return code


def _run(module: ModuleType, module_name: str, argv: list[str], run_folder: Path) -> None:
    name, params_file, inputs = _parse(module, module_name, argv, run_folder)
    given = read_mapping(params_file).get(name)
    if given is None:
        raise Prior3dError(
            f"stage {name}: {run_folder.name}/{params_file.name} has no section {name!r}; write one, `{name}: {{}}` "
            "will do"
        )
    params = check_params(module.Params, given, name)
    for key, path in inputs.items():
        module.INPUTS[key].validate(path)
    code = str(read_mapping(params_file.with_name("code.yaml"), optional=True).get(name, ""))
    training = module_name.startswith("stages.training.")
    folder = run_folder / ".work" / ("training" if training else "") / name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder, name):
        decisive = params.model_dump(mode="json", exclude=set(getattr(params, "not_in_key", ())))
        work = folder / work_digest(decisive, inputs, code, ignored=CARD_FILES if training else frozenset())
        work.mkdir(exist_ok=True)
        job = Job(name, run_folder, inputs, work, settings=read_mapping(run_folder / "local.yaml", optional=True))
        if training:
            job.checkpoint_every_s = TRAINING_CHECKPOINT_EVERY_S
        with _stops(job):
            (_train if training else _produce)(module, job, params)


def _train(module: ModuleType, job: Job, params: BaseModel) -> None:
    """Run a stage that writes into the project's data itself."""
    _run_body(module, job, params)


def _run_body(module: ModuleType, job: Job, params: BaseModel) -> None:
    """Run the stage's body (raises Stopped if it was asked to stop, with its working time and losses kept)."""
    try:
        with warnings_as_lines():
            importlib.import_module(f"{module.__name__}.stage").run(job, params)
        if job.stopping:
            raise Stopped
    except Stopped:
        job.note_elapsed()
        raise
    except RuntimeError as error:
        if told := out_of_gpu_memory(job.name, params, error):
            job.note_elapsed()
            raise told from error
        raise


def _produce(module: ModuleType, job: Job, params: BaseModel) -> None:
    """Run the stage into a fresh folder, check it, and put it into its place."""
    shutil.rmtree(job.out, ignore_errors=True)
    job.out.mkdir()
    _run_body(module, job, params)
    write_whole(job.out / "metrics.json", json.dumps(job.metrics, indent=2, sort_keys=True) + "\n")
    if module.OUTPUT is not None:
        module.OUTPUT.validate(job.out)
    target, old = job.run_folder / job.name, job.work / "out.old"
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.replace(old)
    job.out.replace(target)
    write_whole(job.run_folder / f"{job.name}.cost.json", json.dumps(_cost(job), indent=2) + "\n")
    (job.run_folder / "losses").mkdir(exist_ok=True)
    write_whole(job.run_folder / "losses" / f"{job.name}.json", json.dumps(job.losses.points()) + "\n")
    shutil.rmtree(old, ignore_errors=True)


def _cost(job: Job) -> dict[str, Any]:
    """What the stage took: kept apart from its metrics, which are a function of parameters and inputs only."""
    per_mb = 1024**2 if sys.platform == "darwin" else 1024
    cost: dict[str, Any] = {
        "seconds": round(job.seconds(), 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / per_mb, 1),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        cost["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1024**2, 1)
    return cost


def _parse(module: ModuleType, module_name: str, argv: list[str], cwd: Path) -> tuple[str, Path, dict[str, Path]]:
    """The stage's name in the run, the file with its parameters, and its inputs."""
    optional: frozenset[str] = getattr(module, "OPTIONAL_INPUTS", frozenset())
    parser = argparse.ArgumentParser(
        prog=f"python -m stages {module_name.removeprefix('stages.')}", description=module.__doc__
    )
    parser.add_argument(
        "--name", default=module_name.rpartition(".")[2], help="section of params.yaml and output folder"
    )
    parser.add_argument(
        "--params", default="params.yaml", metavar="FILE", help="where that section is, with code.yaml beside it"
    )
    for key in module.INPUTS:
        parser.add_argument(
            f"--{key.replace('_', '-')}", dest=f"input_{key}", required=key not in optional, metavar="PATH"
        )
    parsed = vars(parser.parse_args(argv))
    inputs = {k: cwd / parsed[f"input_{k}"] for k in module.INPUTS if parsed[f"input_{k}"] is not None}
    for key, path in inputs.items():
        if not path.exists():
            raise Prior3dError(
                f"stage {parsed['name']}: its input --{key} is not there: {path}; run the stage that makes it"
            )
    return parsed["name"], cwd / parsed["params"], inputs


@contextlib.contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Hold the stage's work folder; wait a little for a stage that is just being stopped."""
    with (folder / "lock").open("w") as stream:
        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Prior3dError(
                        f"stage {name}: another process works on it ({folder}); wait for it or stop it"
                    ) from None
                time.sleep(0.1)
        yield


@contextlib.contextmanager
def _stops(job: Job) -> Iterator[None]:
    """SIGTERM asks the job to save and leave."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, job.stop_soon)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.alarm(0)
