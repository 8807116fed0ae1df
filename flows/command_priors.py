"""`prior3d priors ls | check NAME | train NAME | sample NAME | lock | accept [NAME ...]`: the priors at hand."""

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import trainings
from flows.engine.declaration import read_yaml
from flows.engine.priors import choose_prior
from flows.engine.project import Project, find_project
from flows.request import Parser, check_text
from prior3d.diffusion.embedded import PACKAGE_PARENT, embedded_folders, embedded_names, embedded_prior
from prior3d.diffusion.roles import role_of
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean
from stages.artifacts.priors import load_concept

ACTIONS = ("ls", "check", "train", "sample", "lock", "accept")
LONGEST_TEXT = 1000
STEPS = 25
TRAINING_WORDS = ("steps", "minutes", "device")  # that a views prior of one's own category is trained with


@dataclass(frozen=True)
class Known:
    """A prior on this machine: its name, folder and role (`unknown` if it is none that this version knows)."""

    name: str
    folder: Path
    role: str


def priors(words: list[str]) -> int:
    """`prior3d priors ACTION ...`."""
    action = words[0] if words else "ls"
    if action in ("-h", "--help"):
        return _print(f"usage: prior3d priors {{{','.join(ACTIONS)}}} ...\n\n{__doc__}")
    if action not in ACTIONS:
        hint = did_you_mean(action, ACTIONS, f"one of {', '.join(ACTIONS)}")
        raise Prior3dError(f"prior3d priors {action!r}: there is no such action; {hint}")
    actions = {"ls": list_priors, "check": check, "train": train, "sample": sample, "lock": lock, "accept": accept}
    return actions[action](words[1:])


def known_priors() -> list[Known]:
    """Embedded priors and those of the project that the current folder is in."""
    bases = list(embedded_folders())
    with contextlib.suppress(Prior3dError):  # outside a project only the embedded ones are known
        bases.append(find_project(Path.cwd()).root / "data" / "priors")
    folders = {f.resolve() for base in bases if base.is_dir() for f in base.iterdir() if f.is_dir()}
    return [Known(f.name, f, _role(f)) for f in sorted(folders) if _is_prior(f)]


def list_priors(words: list[str]) -> int:
    """`prior3d priors ls`."""
    Parser(prog="prior3d priors ls", description="All priors at hand.").parse_args(words)
    rows = [["prior", "role", "size", "trained on", "folder"]]
    for known in known_priors():
        size = sum(f.stat().st_size for f in known.folder.rglob("*") if f.is_file()) / 1e6
        rows.append([known.name, known.role, f"{size:.1f} MB", _trained_on(known.folder), str(known.folder)])
    return _print(_table(rows) if len(rows) > 1 else "no priors here; in a checkout: dvc repro")


def check(words: list[str]) -> int:
    """`prior3d priors check NAME`."""
    parser = Parser(prog="prior3d priors check", description="Look a prior over, and score it where scores apply.")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--images", type=int, default=48, help="held-out renders to score on, a multiple of 16")
    args = parser.parse_args(words)
    if args.images < 16 or args.images % 16:
        raise Prior3dError(f"--images {args.images}: use a multiple of 16, at least 16")
    known = find(args.name)
    prior = _load(known, "cpu")
    _print(f"{known.name}: {known.role}, {known.folder}\nfiles whole, weights complete and finite")
    from stages.training.scores.check import is_toy, toy_scores, verdict

    without_words = known.role in ("scorer", "views")
    of_toys = known.name.startswith("toy") if without_words else is_toy(prior)
    if not of_toys:
        return _print("not a prior of the toy world, so the toy world's scores do not apply")
    scores = toy_scores(known.role, prior, args.images)
    rows = [[f"  {name}", f"{value:.4g}"] for name, value in scores.items()]
    return _print(f"{_table(rows)}\n{verdict(known.role, scores)}")


def train(words: list[str]) -> int:
    """`prior3d priors train NAME`: the stages of the pipeline that make it, and what those need."""
    parser = Parser(prog="prior3d priors train", description="Run the pipeline's stages that make a prior.")
    parser.add_argument("name", metavar="NAME", help="a prior of the pipeline, or views with --data")
    parser.add_argument("--data", type=Path, help="views: a category of your own, in CO3Dv2's layout")
    parser.add_argument("--out", metavar="NAME", help="views: name of the prior (default: views- and the folder's)")
    parser.add_argument("--steps", type=int, help="views: steps of training (default: 20,000)")
    parser.add_argument("--minutes", type=float, help="views: end the training after so long, if not before")
    parser.add_argument("--device", help="views: auto, cpu, cuda, cuda:N or mps (default: cpu)")
    args = parser.parse_args(words)
    name, project = args.name, find_project(Path.cwd())
    if args.data is not None:
        return train_views(project, args)
    given = [f"--{word}" for word in ("out", *TRAINING_WORDS) if getattr(args, word) is not None]
    if given:
        raise Prior3dError(f"{', '.join(given)}: only with --data; how {name} is trained stands in params.yaml")
    stages = making(project, name)
    trainings.lock(project)
    line = [sys.executable, "-m", "dvc", "repro", *stages]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    code = subprocess.run(line, cwd=project.root, env={**os.environ, "PATH": path}).returncode
    if code:
        raise Prior3dError(f"training of {name} ended with {code}; to go on where it was: prior3d priors train {name}")
    return 0


def train_views(project: Project, args: argparse.Namespace) -> int:
    """`prior3d priors train views --data FOLDER`: a views prior of a person's own category."""
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
        from prior3d.devices import choose_device  # with torch, which takes a second

        choose_device(args.device)
    name = args.out or f"views-{data.name}"
    if "/" in name or name in embedded_names():
        raise Prior3dError(f"--out {name}: choose a plain name that no prior which travels with the project has")
    given = {word: getattr(args, word) for word in TRAINING_WORDS if getattr(args, word) is not None}
    section, settings = trainings.write_own_views(project, name, data, given)
    line = [sys.executable, "-m", "stages", "training.views", "--vae", str(embedded_prior("toy") / "vae")]
    line += ["--name", section, "--params", str(settings)]
    path = os.pathsep.join([str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")])
    if code := subprocess.run(line, cwd=project.root, env={**os.environ, "PYTHONPATH": path}).returncode:
        raise Prior3dError(f"training ended with {code}; the same command goes on at its last checkpoint")
    return _print(f"data/priors/{name} is trained; next: prior3d run sparsefusion --images FOLDER --prior {name}")


def lock(words: list[str]) -> int:
    """`prior3d priors lock`."""
    Parser(prog="prior3d priors lock", description="Note the trainings' code in code.yaml.").parse_args(words)
    project = find_project(Path.cwd())
    if not trainings.pipeline(project):
        raise Prior3dError(
            f"{project.root / 'dvc.yaml'} trains no priors: training needs a checkout of prior3d with its pipeline"
        )
    changed = trainings.lock(project)
    return _print(f"code.yaml: {', '.join(changed) or 'nothing'} changed")


def accept(words: list[str]) -> int:
    """`prior3d priors accept [NAME ...]`."""
    about = "Record in dvc.lock that the present code belongs to the present weights; nothing is trained."
    parser = Parser(prog="prior3d priors accept", description=about)
    parser.add_argument("names", metavar="NAME", nargs="*", help="priors of the pipeline (default: all of its stages)")
    names, project = parser.parse_args(words).names, find_project(Path.cwd())
    stages = [stage for name in names for stage in making(project, name)] or trainings.pipeline(project)
    return _print("\n".join(trainings.accept(project, list(dict.fromkeys(stages)))))


def making(project: Project, name: str) -> list[str]:
    """The pipeline's stages whose outputs lie in `data/priors/NAME`.

    Raises:
        Prior3dError: the project has no such pipeline.
    """
    found: dict[str, list[str]] = {}
    for stage, described in (read_yaml(project.root / "dvc.yaml").get("stages") or {}).items():
        for out in described.get("outs") or []:
            parts = Path(out if isinstance(out, str) else next(iter(out))).parts
            if parts[:2] == ("data", "priors") and len(parts) > 2:
                found.setdefault(parts[2], []).append(stage)
    if name in found:
        return list(dict.fromkeys(found[name]))
    if not found:
        raise Prior3dError(
            f"{project.root / 'dvc.yaml'} trains no priors: training needs a checkout of prior3d, with its pipeline"
        )
    hint = did_you_mean(name, found, f"it makes {', '.join(found)}")
    raise Prior3dError(f"{project.root / 'dvc.yaml'} makes no prior {name!r}; {hint}")


def sample(words: list[str]) -> int:
    """`prior3d priors sample NAME ...`."""
    parser = Parser(prog="prior3d priors sample", description="Draw a grid of samples into a PNG file.")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--prompt", action="append", default=[], help="what to show; may be given several times")
    parser.add_argument("--instruction", action="append", default=[], help="what an instruct prior is to change")
    parser.add_argument("--image", type=Path, help="picture to fill or to edit")
    parser.add_argument("--mask", type=Path, help="picture that is white where --image is to be filled")
    parser.add_argument("--concept", type=Path, help="folder of a word (a run's textual_inversion) for --prompt")
    parser.add_argument("--guidance-scale", type=float, default=4.0)
    parser.add_argument("--image-guidance-scale", type=float, default=1.5, help="of an instruct prior")
    parser.add_argument("--steps", type=int, default=STEPS, help="network calls a sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="default: samples-NAME.png")
    args = parser.parse_args(words)
    known = find(args.name)
    texts = _texts(known, args)
    prior = _load(known, args.device)
    if args.concept is not None:
        _teach(known, prior, args.concept, texts)
    _warn_of_unknown_words(prior, texts)
    from flows.prior_samples import picture_of
    from prior3d.images.files import write_png

    out = args.out or Path(f"samples-{known.name.replace('/', '-')}.png")
    write_png(out, picture_of(_grid(known, prior, texts, args)))
    return _print(str(out))


def find(text: str) -> Known:
    """A prior by name, folder or pinned hub id (raises Prior3dError)."""
    for known in known_priors():
        if known.name == text:
            return known
    folder = Path(text).expanduser()
    if folder.is_dir() and _role(folder) == "scorer":
        return Known(folder.resolve().name, folder.resolve(), "scorer")
    chosen = choose_prior(text, find_project(Path.cwd()))
    return Known(chosen.name, chosen.folder, role_of(chosen.folder))


def _teach(known: Known, prior: Any, folder: Path, texts: list[str]) -> None:
    """Teach a prior a concept's word (raises Prior3dError if it cannot be, or no text holds it)."""
    from prior3d.diffusion.concepts import add_concept

    concept = load_concept(folder)
    if not any(concept.token in text for text in texts):
        raise Prior3dError(f"--concept: no --prompt holds its word; write e.g. --prompt 'a {concept.token}'")
    add_concept(prior, concept)


def _texts(known: Known, args: argparse.Namespace) -> list[str]:
    """The texts that the role takes (raises Prior3dError if something that it needs is not given)."""
    needed = {
        "text_to_image": ("prompt",),
        "inpainting": ("prompt", "image", "mask"),
        "instruct": ("instruction", "image"),
    }.get(known.role)
    if needed is None:
        what = "draws views of posed pictures only" if known.role == "views" else "draws nothing"
        raise Prior3dError(f"prior {known.name} ({known.role}) {what}, so there is no sample from words")
    for name in needed:
        if not getattr(args, name):
            raise Prior3dError(f"--{name} is missing: prior {known.name} ({known.role}) takes --{', --'.join(needed)}")
    for name in ("prompt", "instruction", "image", "mask"):
        if name not in needed and getattr(args, name):
            raise Prior3dError(f"--{name} means nothing to prior {known.name} ({known.role}); leave it out")
    option = needed[0]
    return [check_text(f"--{option}", text, LONGEST_TEXT) for text in getattr(args, option)]


def _grid(known: Known, prior: Any, texts: list[str], args: argparse.Namespace) -> Any:
    from flows.prior_samples import inpainting_grid, instruct_grid, text_to_image_grid

    if known.role == "text_to_image":
        return text_to_image_grid(prior, texts, args.guidance_scale, args.steps, args.seed)
    image = _picture("--image", args.image, prior.image_size)
    if known.role == "instruct":
        scales = args.guidance_scale, args.image_guidance_scale
        return instruct_grid(prior, image, texts, *scales, args.steps, args.seed)
    mask = _picture("--mask", args.mask, prior.image_size).mean(0, keepdim=True)
    return inpainting_grid(prior, image, mask, texts, args.guidance_scale, args.steps, args.seed)


def _picture(option: str, path: Path, size: int) -> Any:
    """A picture file as a tensor [3, size, size]."""
    import torch

    from prior3d.images.files import from_bytes, resize

    if not path.is_file():
        raise Prior3dError(f"{option} {str(path)!r}: there is no such file")
    try:
        picture = from_bytes(path.read_bytes())
    except Prior3dError as error:
        raise Prior3dError(f"{option} {str(path)!r}: {error}") from None
    return torch.from_numpy(resize(picture, size, size)).permute(2, 0, 1)


def _load(known: Known, device: str) -> Any:
    from prior3d.devices import choose_device
    from prior3d.diffusion import loading, scorer, views_loading

    loaders: dict[str, Any] = {
        "text_to_image": loading.load_text_to_image,
        "inpainting": loading.load_inpainting,
        "instruct": loading.load_instruct,
        "views": views_loading.load_views,
        "scorer": scorer.load_scorer,
    }
    if known.role not in loaders:
        raise Prior3dError(f"prior {known.name}: {known.folder} is of no role that this version can load")
    return loaders[known.role](known.folder, choose_device(device))


def _warn_of_unknown_words(prior: Any, texts: list[str]) -> None:
    unknown = list(dict.fromkeys(word for text in texts for word in prior.unknown_words(text)))
    if unknown:
        sys.stderr.write(f"warning: this prior does not know: {', '.join(unknown)}\n")


def _role(folder: Path) -> str:
    try:
        return role_of(folder)
    except Prior3dError:
        return "unknown"


def _is_prior(folder: Path) -> bool:
    return (folder / "model_index.json").is_file() or _role(folder) != "unknown"


def _trained_on(folder: Path) -> str:
    try:
        facts = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        return f"{int(facts['samples']) + int(facts.get('samples_before', 0)):,} samples"
    except (OSError, ValueError, KeyError):
        return "not said"


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _print(text: str) -> int:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return 0
