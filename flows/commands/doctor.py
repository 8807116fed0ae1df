"""`prior3d doctor`: what is installed, what is missing, and the command that fixes it."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from flows.engine.prior_files import check_prior
from flows.engine.project import Project, find_project
from flows.engine.server import local_server, server_problem, users_server
from flows.terminal import USER_ERROR, Parser, say
from prior3d.diffusion.embedded import embedded_names, embedded_prior
from prior3d.errors import Prior3dError

NEEDED = (
    "torch",
    "numpy",
    "pydantic",
    "jinja2",
    "prefect",
    "fastapi",
    "dvc",
    "diffusers",
    "accelerate",
    "transformers",
    "nerfacc",
    "safetensors",
    "xatlas",
    "trimesh",
    "scikit-image",
    "pillow",
    "imageio",
    "imageio-ffmpeg",
)
FASTAPI_TOO_NEW = (0, 151)
FREE_NEEDED_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was checked; `fix` is empty if it is fine."""

    what: str
    found: str
    fix: str = ""


def doctor(words: list[str]) -> int:
    """Print all findings; exit code 2 if something is to be fixed."""
    what = "Check device, packages and priors; says how to fix what is missing."
    Parser.of("doctor", what).parse_args(words)
    bad = 0
    for finding in findings():
        bad += bool(finding.fix)
        say(f"{'!!' if finding.fix else 'ok'} {finding.what}: {finding.found}")
        if finding.fix:
            say(f"   fix: {finding.fix}")
    say("all is well" if not bad else f"{bad} to fix")
    return USER_ERROR if bad else 0


def findings() -> Iterator[Finding]:
    """Everything that a run depends on."""
    version = sys.version_info
    fits = (3, 11) <= version[:2] < (3, 13)
    yield Finding("python", f"{version[0]}.{version[1]}.{version[2]}", "" if fits else "install Python 3.11 or 3.12")
    yield from _packages()
    yield from _devices()
    yield from _project()
    yield from _priors()


def _packages() -> Iterator[Finding]:
    versions: dict[str, str] = {}
    for name in NEEDED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, "not installed", f"pip install {name}")
    open3d = next((n for n in ("open3d-cpu", "open3d") if _version(n)), None)
    if open3d is None:
        yield Finding("open3d", "not installed", "pip install open3d-cpu (Linux) or open3d")
    else:
        versions[open3d] = _version(open3d)
    too_new = tuple(int(p) for p in versions.get("fastapi", "0.0").split(".")[:2]) >= FASTAPI_TOO_NEW
    if too_new:
        fix = 'pip install "fastapi>=0.139,<0.151"'
        yield Finding("fastapi", f"{versions['fastapi']}: Prefect's server does not start with it", fix)
    yield Finding("packages", ", ".join(f"{n} {v}" for n, v in versions.items()))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _devices() -> Iterator[Finding]:
    try:
        import torch  # it may be missing or broken: that is a finding
    except ImportError as error:
        yield Finding("device", f"torch cannot be imported ({error})", "pip install torch")
        return
    names = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    names += ["mps"] if torch.backends.mps.is_available() else []
    yield Finding("devices", ", ".join([f"cpu ({torch.get_num_threads()} threads)", *names]))


def _project() -> Iterator[Finding]:
    try:
        project = find_project(Path.cwd())
    except Prior3dError as error:
        yield Finding("project", str(error).partition(";")[0], "prior3d init")
        return
    free_gb = shutil.disk_usage(project.root).free / 1e9
    fix = "" if free_gb >= FREE_NEEDED_GB else f"make room: runs need about {FREE_NEEDED_GB:g} GB"
    yield Finding("project", f"{project.root}, {free_gb:.1f} GB free", fix)
    yield _server(project)


def _server(project: Project) -> Finding:
    own = users_server()
    if own is not None:
        fix = "" if own.healthy() else "start it, or unset PREFECT_API_URL, or give --plain"
        return Finding("prefect server", f"{own.shown} (your own)", fix)
    problem, _, remedy = server_problem(project).rpartition("; ")
    if problem:
        return Finding("prefect server", problem, remedy)
    server = local_server(project)
    return Finding("prefect server", server.shown if server else "none runs; the next run starts one")


def _priors() -> Iterator[Finding]:
    names = embedded_names()
    if not names:
        yield Finding(
            "priors", "no embedded prior", "in a checkout: dvc repro; else give --prior PATH to a diffusers folder"
        )
    for name in names:
        folder = embedded_prior(name)
        try:
            check_prior(folder)
            yield Finding(f"prior {name}", str(folder))
        except Prior3dError as error:
            yield Finding(f"prior {name}", str(error), "reinstall prior3d, or in a checkout: git checkout data/priors")
