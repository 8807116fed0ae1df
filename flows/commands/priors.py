"""`prior3d priors ls | show NAME | check NAME | train NAME | sample NAME | fuse FOLDER LORA | fetch-objects |
lock | accept [NAME]`.
"""

from pathlib import Path
from typing import Required, TypedDict

from flows.commands.priors_show import show_prior
from flows.engine.run_files import derived
from flows.known_priors import find, known_priors, load
from flows.terminal import Parser, say, table
from flows.versions.text import number_text
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

ACTIONS = ("ls", "show", "check", "train", "sample", "fuse", "fetch-objects", "lock", "accept")


class TrainedOn(TypedDict, total=False):
    """What a prior's `training.json` says of its data."""

    samples: Required[int]
    samples_before: int
    unit: str


def priors(words: list[str]) -> int:
    """`prior3d priors ACTION ...`."""
    action, rest = (words[0], words[1:]) if words else ("ls", [])
    match action:
        case "-h" | "--help":
            return say(f"usage: prior3d priors {{{','.join(ACTIONS)}}} ...\n\n{__doc__}")
        case "ls":
            return list_priors(rest)
        case "show":
            return show_prior(rest)
        case "check":
            return check(rest)
        case "sample":
            from flows.commands.priors_sample import sample  # start-up: only this action needs it

            return sample(rest)
        case "fuse":
            from flows.commands.priors_fuse import fuse  # start-up: only this action needs it

            return fuse(rest)
        case "train" | "lock" | "accept" | "fetch-objects":
            from flows.commands import priors_train  # start-up: only these actions need it

            return getattr(priors_train, action.replace("-", "_"))(rest)
    hint = did_you_mean(action, ACTIONS, f"one of {', '.join(ACTIONS)}")
    raise Prior3dError(f"prior3d priors {action!r}: there is no such action; {hint}")


def list_priors(words: list[str]) -> int:
    """`prior3d priors ls`."""
    Parser.of("priors ls", "All priors on this machine.").parse_args(words)
    rows = [["prior", "role", "size", "trained on", "folder"]]
    for known in known_priors():
        size = sum(f.stat().st_size for f in known.folder.rglob("*") if f.is_file()) / 1e6
        rows.append([known.name, known.role, f"{size:.1f} MB", _trained_on(known.folder), str(known.folder)])
    return say(table(rows) if len(rows) > 1 else "no priors here; in a checkout, make them: dvc repro")


def check(words: list[str]) -> int:
    """`prior3d priors check NAME`."""
    parser = Parser.of("priors check", "Check a prior's files and weights, and score it if scores apply.", "name")
    parser.add_argument("--images", type=int, default=48, help="held-out renders to score, a multiple of 16")
    args = parser.parse_args(words)
    if args.images < 16 or args.images % 16:
        raise Prior3dError(f"--images {args.images}: use a multiple of 16, at least 16")
    known = find(args.name)
    prior = load(known, "cpu")
    say(f"{known.name}: {known.role}, {known.folder}\nfiles whole, weights complete and finite")
    # start-up: torch, as in `load`
    from stages.training.scores.check import is_toy, toy_scores, verdict

    without_words = known.role in ("scorer", "views")
    of_toys = known.name.startswith("toy") if without_words else is_toy(prior)
    if not of_toys:
        return say("not a prior of the toy world, so the toy world's scores do not apply")
    scores = toy_scores(known.role, prior, args.images)
    rows = [[f"  {name}", number_text(value)] for name, value in scores.items()]
    return say(f"{table(rows)}\n{verdict(known.role, scores)}")


def _trained_on(folder: Path) -> str:
    facts = derived(folder / "training.json", TrainedOn)
    if facts is None:
        return "not said"
    return f"{facts['samples'] + facts.get('samples_before', 0):,} {facts.get('unit', 'samples')}"
