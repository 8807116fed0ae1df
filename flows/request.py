"""The command line of `prior3d run METHOD`, checked to the last value and made a declaration before anything runs."""

import argparse
import contextlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from flows.engine.cpu_engines import check_engines, openvino_precision
from flows.engine.declaration import Declaration, code_digests, given_names
from flows.engine.gpu_check import about_gpus, needs, unusable
from flows.engine.gpus import gpu_numbers
from flows.engine.method import Method
from flows.engine.nvml import Machine, read_machine
from flows.engine.parameters import resolve, split_switches
from flows.engine.priors import PriorChoice, choose_prior, names_own, role_among
from flows.engine.project import Project
from flows.engine.run import Run
from flows.engine.run_files import Damaged, read_method
from flows.engine.session import Options
from flows.given_files import check_camera, given_path
from flows.method_options import option_of, parser_for
from flows.run_names import unnamed_run
from flows.terminal import STEERING
from prior3d.errors import Prior3dError
from prior3d.settings import Engine, Precision
from prior3d.suggestions import did_you_mean

# soft hyphen, zero-width space, word joiner, byte order mark, marks of the direction of writing
UNSEEN = "\u00ad\u200b\u2060\ufeff\u200e\u200f\u061c"
DEVICE = re.compile(r"^(auto|cpu|mps|cuda(:\d+)?)$")


@dataclass(frozen=True)
class Request:
    """A checked command line: the run, its declaration, the settings of this machine, and how to run it.

    Attributes:
        warnings: about this machine's GPUs.
    """

    run: Run
    declaration: Declaration
    settings: dict[str, Any]
    options: Options
    warnings: tuple[str, ...] = ()


def make_request(
    project: Project, method: Method, words: list[str], command: str = "run", code: dict[str, str] | None = None
) -> Request:
    """Check the command line of `run METHOD` or `plan METHOD`.

    Args:
        project: the project.
        method: the method.
        words: what follows it.
        command: for messages.
        code: the digests of its stages' code, where they are known.

    Raises:
        Prior3dError: the first thing that is wrong with it.
    """
    args = parser_for(method, command).parse_args(words)
    named = [i.name for i in method.inputs if getattr(args, f"input_{i.name}")]
    _refuse_alternatives(method, named)
    roles = {i.name: role_among(i, getattr(args, f"input_{i.name}"), project) for i in method.inputs}
    whole, (method, sets) = method, _switched(project, method, args, named, roles)
    _refuse_unused(whole, method, args)
    given, priors = _inputs(project, method, args, roles)
    _refuse_toy_companions(method, priors, args)
    machine = read_machine()
    lost = _unusable(args.device, machine)
    settings: dict[str, Any] = {
        "device": "cpu" if lost else _device(args.device),
        "priors": {p.name: str(p.folder) for p in priors.values() if not p.embedded},
    }
    embedded = all(p.toy for p in priors.values())
    preset = args.preset or ("toy" if embedded else "paper")
    run = unnamed_run(project, method, given) if args.name is None else Run(project, args.name)
    _refuse_other_method(run, whole)
    options = _options(args, method)
    params = _params(method, preset, args, sets, settings["device"])
    warnings = _gpu_warnings(method, params, priors, machine, lost, settings)
    known = {s.name: code[s.name] for s in method.stages} if code is not None else code_digests(method)
    declaration = Declaration(method, given, params, known, preset, _earlier_names(given))
    _look_at_folders(declaration)
    return Request(run, declaration, settings, options, warnings)


def _params(
    method: Method, preset: str, args: argparse.Namespace, sets: list[str], device: str
) -> dict[str, dict[str, Any]]:
    """Every parameter of every stage, checked against what this machine can run (raises Prior3dError)."""
    precision = _precision(args.precision, device, args.engine)
    params = resolve(method, preset, args.seed, sets, precision, args.engine)
    check_engines(method, params, args.engine, device)
    return params


def _switched(
    project: Project, method: Method, args: argparse.Namespace, named: list[str], roles: dict[str, str | None]
) -> tuple[Method, list[str]]:
    """The method with the stages that this run has, and what is set in them."""
    own = names_own(method.inputs, (getattr(args, f"input_{i.name}") for i in method.inputs), project)
    preset = "" if own else args.preset or "toy"
    return split_switches(method, args.set, named, filter(None, roles.values()), preset)


def _look_at_folders(declaration: Declaration) -> None:
    """Make a folder that is no capture an error before anything is copied."""
    for declared in declaration.method.inputs:
        if declared.name in declaration.inputs:
            declaration.files_of(declared.name)


def _gpu_warnings(
    method: Method,
    params: dict[str, Any],
    priors: dict[str, PriorChoice],
    machine: Machine | None,
    lost: str,
    settings: dict[str, Any],
) -> tuple[str, ...]:
    """What is said of the GPU before a run; the memory that its stages need is noted in the settings."""
    if lost:
        return (f"{lost}; this run takes the CPU",)
    folders = {name: prior.folder for name, prior in priors.items()}
    needed = needs(method, params, folders) if machine is not None and settings["device"] != "cpu" else {}
    if needed:
        settings["gpu_memory"] = needed
    return tuple(about_gpus(settings["device"], machine, needed, params))


def _options(args: argparse.Namespace, method: Method) -> Options:
    names = [s.name for s in method.stages]
    if args.stop_after and args.stop_after not in names:
        hint = did_you_mean(args.stop_after, names, f"stages: {', '.join(names)}")
        raise Prior3dError(f"--stop-after {args.stop_after!r}: {method.name} has no such stage; {hint}")
    return Options(not args.no_restore, args.plain, args.stop_after, not args.no_remote)


def _unusable(device: str, machine: Machine | None) -> str:
    """Why `auto` does not get the GPU that is there; raises Prior3dError where a person asked for a GPU."""
    lost = unusable(device, machine)
    if lost and device != "auto":
        raise Prior3dError(f"--device {device}: {lost}; or take --device cpu")
    return lost


def _earlier_names(given: dict[str, bytes | Path]) -> dict[str, str]:
    """What files out of a run's `inputs` were called before they were copied there."""
    names: dict[str, str] = {}
    for name, content in given.items():
        if isinstance(content, Path) and content.parent.name == "inputs":
            with contextlib.suppress(Damaged):  # the file's name in the run will do
                found = given_names(read_method(content.parent.parent).get("inputs") or {})
                names |= {name: found[name]} if name in found else {}
    return names


def _refuse_other_method(run: Run, method: Method) -> None:
    """Refuse a name that a run of another method has. A damaged `method.yaml` is written again, like the others."""
    if not run.exists():
        return
    try:
        earlier = read_method(run.folder)["method"]
    except Damaged as error:
        known = {stage.name for stage in method.stages}
        with contextlib.suppress(Damaged):  # the lock is damaged, too: nothing says that it is another's
            if run.locked().keys() - known:
                raise Prior3dError(f"{error} (with another --name)") from None
        return
    if earlier != method.name:
        raise Prior3dError(f"run {run.name} was made by {earlier}, not by {method.name}; choose another --name")


def _refuse_alternatives(method: Method, named: list[str]) -> None:
    """Refuse a command line without any of the inputs that a method needs one of, or with two that exclude another."""
    if method.one_of and not set(method.one_of) & set(named):
        raise Prior3dError(
            f"{method.name}: say what to make it from: {', '.join(map(option_of, method.one_of[:-1]))} or "
            f"{option_of(method.one_of[-1])}; for example: {method.example}"
        )
    together = [option_of(name) for name in method.apart if name in named]
    if len(together) > 1:
        raise Prior3dError(f"{' and '.join(together)}: {method.name} takes one of them; leave the other out")


def _refuse_unused(whole: Method, method: Method, args: argparse.Namespace) -> None:
    """Refuse inputs that are only for optional stages that this run does not have."""
    names = {i.name for i in method.inputs}
    for declared in whole.inputs:
        if declared.name not in names and getattr(args, f"input_{declared.name}") is not None:
            takers = [s for s in whole.stages if declared.name in s.inputs.values()]
            bringing = next((s for s in takers if s.on_with), takers[0]).brought_with
            raise Prior3dError(
                f"{option_of(declared.name)} is for {' or '.join(s.name for s in takers)}, which this run does not "
                f"have; add {'it: ' if takers[0].optional else ''}{bringing}"
            )


def _refuse_toy_companions(method: Method, priors: dict[str, PriorChoice], args: argparse.Namespace) -> None:
    """Refuse toy priors that nobody asked for beside a person's own: they know 64-pixel toy objects only."""
    own = [option_of(name) for name, prior in priors.items() if not prior.toy]
    left = [name for name, prior in priors.items() if prior.toy and getattr(args, f"input_{name}") is None]
    if not own or not left:
        return
    toys = ", ".join(f"{option_of(name)} is left at {priors[name].name}" for name in left)
    roles = {declared.name: declared.help for declared in method.inputs}
    options = " and ".join(f"{option_of(name)} a model of your own ({roles[name].partition(':')[0]})" for name in left)
    names = " ".join(f"{option_of(name)} {priors[name].name}" for name in left)
    raise Prior3dError(
        f"{', '.join(own)} names a prior of your own, but {toys}, which knows toy objects of 64 pixels only; give "
        f"{options}, or take the toy one by its name: {names}"
    )


def _told_apart(choice: PriorChoice, input_name: str, others: Iterable[PriorChoice]) -> PriorChoice:
    """The prior under a name of its own, where another folder of the run has the same name."""
    same = any(other.name == choice.name and other.folder != choice.folder for other in others)
    return replace(choice, name=f"{choice.name}-{input_name}") if same else choice


def _inputs(
    project: Project, method: Method, args: argparse.Namespace, roles: dict[str, str | None]
) -> tuple[dict[str, bytes | Path], dict[str, PriorChoice]]:
    """What is given to each input, and the priors by the name of their input."""
    given: dict[str, bytes | Path] = {}
    priors: dict[str, PriorChoice] = {}
    for declared in method.inputs:
        value = getattr(args, f"input_{declared.name}")
        value = declared.default if value is None else value
        option = option_of(declared.name)
        if value is None:
            raise Prior3dError(f"{option} is missing: {declared.help}")
        if not value and declared.default == "":
            continue  # an optional input that is not given
        if declared.kind == "text":
            text = check_text(option, value, declared.longest)
            if declared.name == "camera":
                check_camera(text)
            given[declared.name] = f"{text}\n".encode()
        elif declared.kind == "prior":
            choice = choose_prior(value, project, roles[declared.name])
            priors[declared.name] = _told_apart(choice, declared.name, priors.values())
            given[declared.name] = priors[declared.name].as_input()
        else:
            given[declared.name] = given_path(option, declared, value)
    return given, priors


def check_text(option: str, text: str, longest: int) -> str:
    """A text on one line (raises Prior3dError if it is empty, too long, or holds what steers a terminal).

    Joiners stay: words of Persian and emoji of several people are spelled with them. So do letters of a newer Unicode
    than Python's. Marks that nobody sees, such as a soft hyphen or a byte order mark, are left out.
    """
    words = " ".join("".join(c for c in text if c not in UNSEEN).split())
    if not words:
        raise Prior3dError(f"{option} is empty: say in words what to make")
    if len(words) > longest:
        raise Prior3dError(f"{option} has {len(words)} characters; use at most {longest}")
    bad = next((c for c in words if unicodedata.category(c) in ("Cc", "Cs") or STEERING.match(c)), None)
    if bad is not None:
        raise Prior3dError(f"{option} holds the character {bad!r}, which cannot be printed; leave it out")
    return words


def _precision(text: str, device: str, engine: Engine) -> Precision:
    """The precision of the frozen networks, settled before the run; GPUs are counted without waking CUDA."""
    known: tuple[Precision, ...] = get_args(Precision)
    for precision in known:
        if text == precision:
            return precision
    on_cuda = device.startswith("cuda") or (device == "auto" and gpu_numbers())
    if engine == "openvino" and not on_cuda:
        return openvino_precision()
    return "float16" if on_cuda else "float32"


def _device(text: str) -> str:
    if not DEVICE.match(text):
        word = "cuda" if text.lower() == "gpu" else text
        hint = did_you_mean(word, ["auto", "cpu", "cuda", "mps"], "use auto, cpu, cuda, cuda:N or mps")
        raise Prior3dError(f"--device {text!r} is not a device; {hint}")
    if text not in ("auto", "cpu"):
        from prior3d.devices import choose_device  # start-up: it imports torch

        choose_device(text)
    return text
