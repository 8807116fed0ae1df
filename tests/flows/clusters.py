"""A store, clones and rows for tests of sweeps on clusters; everything is on loopback."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "prior3d-test"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
SMALL = {
    "coarse_nerf.steps": 3, "coarse_nerf.n_samples": 48, "coarse_nerf.field.occupancy_resolution": 32,
    "coarse_nerf.check.accept": "true", "rgb_refinement.steps": 2, "rgb_refinement.n_samples": 48,
    "rgb_refinement.sds.image_size": 16, "rgb_refinement.check.accept": "true", "mesh_extraction.n_azimuths": 3,
    "mesh_extraction.resolution": 24, "evaluation.n_azimuths": 2, "evaluation.size": 32, "evaluation.n_samples": 32,
    "evaluation.video_frames": 2, "evaluation.video_size": 32,
}  # fmt: skip
# The method of the fake stages, known to every `python -m flows...` of a clone: Python imports this when it starts.
SITE = """
import sys
if any(word.startswith("flows.") for word in sys.orig_argv):
    from fake_prior3d import fake_method
    from flows import methods
    methods.METHODS["counting-method"] = fake_method()
"""


@dataclass(frozen=True)
class Rows:
    """Twelve rows of two prompts; what comes before one parameter is shared by six of them.

    Attributes:
        method: of all rows.
        words: for all rows.
        parameter: in which the rows of a prompt differ.
        values: of it.
        n_shared: stages before it.
        n_own: the others.
    """

    method: str
    words: tuple[str, ...]
    parameter: str
    values: tuple[int, ...]
    n_shared: int
    n_own: int

    @property
    def names(self) -> list[str]:
        """The runs."""
        return [f"{p.split()[1]}-{v}" for p in PROMPTS for v in self.values]

    @property
    def n_results(self) -> int:
        """How many results there are in all."""
        return len(PROMPTS) * (self.n_shared + len(self.values) * self.n_own)

    def text(self) -> str:
        """The file."""
        lines = [f"{p.split()[1]}-{v},{p},{v}" for p in PROMPTS for v in self.values]
        return "\n".join([f"name,prompt,{self.parameter}", *lines]) + "\n"


PROMPTS = ("a red mug", "a blue ball")
TOY = Rows(
    "latent-nerf",
    tuple(f"--set={name}={value}" for name, value in SMALL.items()),
    "texture_baking.resolution",
    (32, 36, 40, 44, 48, 52),
    n_shared=3,
    n_own=2,
)


def fake_rows() -> Rows:
    """Rows of stages that only count, one second a step."""
    words = (f"--set=counting.{value}" for value in ("steps=4", "pause_s=1"))  # with the toy prior, which it ignores
    return Rows("counting-method", tuple(words), "shouting.exclamation_marks", tuple(range(1, 7)), n_shared=1, n_own=2)


def environment(project: Path) -> dict[str, str]:
    """Of a process that belongs to a clone."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "flows" / "fake", project.parent / "site")))
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PRIOR3D_PROJECT": str(project)}
    return {**os.environ, **KEYS, **own, "DVC_SITE_CACHE_DIR": str(project.parent / f"{project.name}-site")}


def prior3d(project: Path, *words: str) -> "subprocess.Popen[str]":
    """A command, begun."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words], cwd=project, env=environment(project), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def done(process: "subprocess.Popen[str]", seconds: float = 120.0) -> str:
    """What a command printed; it has to end well."""
    out, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, out
    return out


def clone(place: Path, remote: str, endpoint: str) -> Path:
    """A project that shares results with others through nothing but the remote."""
    (place.parent / "site").mkdir(parents=True, exist_ok=True)
    (place.parent / "site" / "sitecustomize.py").write_text(SITE)
    done(prior3d_init(place))
    if remote:
        done(prior3d(place, "remote", "add", remote, "--endpoint", endpoint))
    return place


def prior3d_init(place: Path) -> "subprocess.Popen[str]":
    """A folder becomes a project."""
    place.mkdir(parents=True)
    return prior3d(place, "init")


def artifacts(project: Path, name: str) -> dict[str, str]:
    """Digests of the files of a run's artifacts; what a stage took is no part of them."""
    folder = project / "data" / "runs" / name
    stages = yaml.safe_load((folder / "method.yaml").read_text())["stages"]
    files = [p for stage in stages for p in sorted((folder / stage).rglob("*")) if p.is_file()]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def worker_at(project: Path, driver: Path, n_done: int, seconds: float = 900.0) -> psutil.Process:
    """The process that makes a run in a clone now, once some rows are done and this one's stages have begun."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if len(list(driver.glob("data/runs/*/history/*.lock"))) < n_done:
            time.sleep(0.5)
            continue
        for process in psutil.process_iter(["cmdline", "cwd"]):
            words = process.info["cmdline"] or []
            if "flows.sweeps.leash" in words and process.info["cwd"] == str(project):
                parent = process.parent()
                if parent is not None and any(word.endswith("forkserver") for word in _words_below(process)):
                    return parent
        time.sleep(0.2)
    raise AssertionError(f"no run began in {project}")


def _words_below(process: psutil.Process) -> list[str]:
    try:
        return [word for child in process.children(recursive=True) for word in child.cmdline()]
    except psutil.Error:
        return []


def computations(projects: list[Path], sweep: str, names: list[str]) -> tuple[Counter, Counter]:
    """How often each result was computed to its end: in runs that ended, and in those that were broken off."""
    whole, broken = Counter(), Counter()
    keys = {
        (name, stage): _key(project, name, stage)
        for project in projects
        for name in names
        for stage in _stages(project, name)
    }
    for project in projects:
        for log in (project / ".prior3d" / "sweeps" / sweep).glob("*.log"):
            attempt: list[str] = []
            for line in log.read_text().splitlines():
                stage, _, rest = line.partition(" ")
                if rest.strip().startswith("done in"):
                    attempt.append(keys.get((log.stem, stage), f"{log.stem} {stage}"))
                elif line.startswith("run "):
                    broken.update(attempt)
                    attempt = []
                elif line.startswith("done, version"):
                    whole.update(attempt)
                    attempt = []
            broken.update(attempt)
    return whole, broken


def _stages(project: Path, name: str) -> list[str]:
    lock = project / "data" / "runs" / name / "dvc.lock"
    return list(yaml.safe_load(lock.read_text())["stages"]) if lock.is_file() else []


def _key(project: Path, name: str, stage: str) -> str:
    """What a stage's result is decided by, as the lock has it."""
    entry = yaml.safe_load((project / "data" / "runs" / name / "dvc.lock").read_text())["stages"][stage]
    decides = {k: entry.get(k) for k in ("cmd", "deps", "params")}
    return f"{stage} {hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]}"
