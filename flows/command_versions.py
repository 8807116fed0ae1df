"""The commands about versions: log, diff, restore, export, gc."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.engine.project import find_project
from flows.engine.run import Run
from flows.request import Parser

SHOWN = 30
A_VERSION = "a run (mug), a version of it (mug@3), or as it was in a git revision (mug@v1.0)"


def log(words: list[str]) -> int:
    """`prior3d log RUN`."""
    from flows.versions.history import records
    from flows.versions.text import log_lines

    what = "A run's versions, newest first: when, why, what changed, what it took."
    parser = Parser(prog="prior3d log", description=what)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--all", action="store_true", help=f"more than the newest {SHOWN}")
    parser.add_argument("--json", action="store_true", help="everything that was recorded, oldest first")
    args = parser.parse_args(words)
    run = Run(find_project(Path.cwd()), args.run).require()
    files = run.versions()
    if args.json:
        return _print(json.dumps([{"version": n, **(asdict(r) if r else {})} for n, _, r in records(files)], indent=1))
    if not files:
        return _print(f"run {run.name} has no version yet; see: prior3d plan {run.name}")
    lines = [f"{run.name}: {len(files)} version{'s' * (len(files) != 1)}"]
    now = (run.folder / "dvc.lock").read_bytes() if (run.folder / "dvc.lock").is_file() else b""
    shown = len(files) if args.all else SHOWN
    versions = list(records(files[-shown - 1 :]))  # and the one before them, to compare with
    pairs = list(zip(versions, [None, *(r for _, _, r in versions)], strict=False))
    for (number, file, record), before in pairs[::-1][:shown]:
        lines += log_lines(number, file, record, before, file.stat().st_size == len(now) and file.read_bytes() == now)
    if len(files) > shown:
        lines.append(f"and {len(files) - shown} older ones: prior3d log {run.name} --all")
    return _print("\n".join(lines))


def diff(words: list[str]) -> int:
    """`prior3d diff A B`."""
    from flows.versions.comparison import as_json, compare
    from flows.versions.history import find_version
    from flows.versions.text import diff_text

    parser = Parser(prog="prior3d diff", description="What differs between two versions, stage by stage.")
    parser.add_argument("a", metavar="A", help=A_VERSION)
    parser.add_argument("b", metavar="B", help="the same")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args(words)
    project = find_project(Path.cwd())
    difference = compare(find_version(project, args.a), find_version(project, args.b))
    return _print(json.dumps(as_json(difference), indent=1) if args.json else diff_text(difference))


def restore(words: list[str]) -> int:
    """`prior3d restore RUN@N`."""
    from flows.versions.restoring import restore_version

    what = "Put a run's folder back as it was in an earlier version, byte for byte."
    parser = Parser(prog="prior3d restore", description=what)
    parser.add_argument("version", metavar="RUN@N", help=A_VERSION)
    parser.add_argument("--reread", action="store_true", help="read and compare also what was not touched since")
    args = parser.parse_args(words)
    return _print(restore_version(find_project(Path.cwd()), args.version, _warn, reread=args.reread))


def export(words: list[str]) -> int:
    """`prior3d export RUN --to FOLDER|ZIP`."""
    from flows.versions.export import export_version
    from flows.versions.history import find_version

    what = "Copy a version's files out of the project, with provenance.json and its page."
    parser = Parser(prog="prior3d export", description=what)
    parser.add_argument("version", metavar="RUN", help=A_VERSION)
    parser.add_argument("--to", required=True, metavar="FOLDER|ZIP", help="a new or empty folder, or a new .zip file")
    args = parser.parse_args(words)
    version = find_version(find_project(Path.cwd()), args.version)
    return _print(export_version(version, Path(args.to).expanduser()))


def gc(words: list[str]) -> int:
    """`prior3d gc`."""
    from flows.versions.collection import collect, find_garbage

    what = "Remove from DVC's cache what no version of any run needs."
    parser = Parser(prog="prior3d gc", description=what)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    keep = "also give up all versions of a run but the newest N and the present one"
    parser.add_argument("--keep", type=_count, metavar="N", help=keep)
    parser.add_argument("--forget-commits", action="store_true", help="also remove what only git commits need")
    args = parser.parse_args(words)
    project = find_project(Path.cwd())
    garbage = find_garbage(project, args.keep, args.forget_commits)
    if not garbage.objects:
        return _print(f"nothing to remove: {garbage.kept_text()}")
    _print(garbage.text())
    if not args.yes and not _confirmed():
        return _print("nothing was removed")
    return _print(collect(project, args.keep, args.forget_commits))


def _confirmed() -> bool:
    sys.stdout.write("remove them? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of versions; use at least 1")
    return int(text)


def _print(text: Any) -> int:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    return 0


def _warn(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")
    sys.stderr.flush()
