"""The commands about versions: log, diff, restore, export, gc."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from flows.engine.project import find_project
from flows.engine.run import Run
from flows.terminal import A_VERSION, Parser, say, warn
from flows.versions.collection import collect, find_garbage
from flows.versions.comparison import as_json, compare
from flows.versions.export import export_version
from flows.versions.history import find_version, records
from flows.versions.mesh_export import NOT_WRITTEN, MeshOptions, export_version_mesh
from flows.versions.restoring import restore_version
from flows.versions.splat_export import SPLAT_FORMATS, export_version_splats
from flows.versions.text import diff_text, log_lines
from prior3d.errors import Prior3dError

SHOWN = 30
CHANGED = 1  # exit code
MESHES = ("glb", "obj", "ply", "stl", "3mf", "usdz")  # of prior3d.meshes.export, which imports trimesh


def log(words: list[str]) -> int:
    """`prior3d log RUN`."""
    what = "A run's versions, newest first: when and why each was made, what changed, what was measured."
    parser = Parser.of("log", what)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--all", action="store_true", help=f"all versions, not only the newest {SHOWN}")
    parser.add_argument("--json", action="store_true", help="print everything that was recorded as JSON, oldest first")
    args = parser.parse_args(words)
    run = Run(find_project(Path.cwd()), args.run).require()
    files = run.versions()
    if args.json:
        return say(json.dumps([{"version": n, **(asdict(r) if r else {})} for n, _, r in records(files)], indent=1))
    if not files:
        return say(f"run {run.name} has no version yet; see: prior3d plan {run.name}")
    lines = [f"{run.name}: {len(files)} version{'s' * (len(files) != 1)}"]
    now = (run.folder / "dvc.lock").read_bytes() if (run.folder / "dvc.lock").is_file() else b""
    shown = len(files) if args.all else SHOWN
    versions = list(records(files[-shown - 1 :]))  # and the one before them, to compare with
    pairs = list(zip(versions, [None, *(r for _, _, r in versions)], strict=False))
    for (number, file, record), before in pairs[::-1][:shown]:
        is_now = file.stat().st_size == len(now) and file.read_bytes() == now
        lines += log_lines(number, file, record, before, is_now)
        now = b"" if is_now else now  # an older version may be the same: the newest is meant
    if len(files) > shown:
        lines.append(f"and {len(files) - shown} older ones: prior3d log {run.name} --all")
    return say("\n".join(lines))


def diff(words: list[str]) -> int:
    """`prior3d diff A B`."""
    parser = Parser.of("diff", "What differs between two versions, stage by stage.")
    parser.add_argument("a", metavar="A", help=A_VERSION)
    parser.add_argument("b", metavar="B", help="the same")
    parser.add_argument("--json", action="store_true", help="print JSON")
    fails = "exit with 1 if an input, a parameter, code or an artifact differs: for continuous integration"
    parser.add_argument("--fail-on-change", action="store_true", help=fails)
    args = parser.parse_args(words)
    project = find_project(Path.cwd())
    difference = compare(find_version(project, args.a), find_version(project, args.b))
    say(json.dumps(as_json(difference), indent=1) if args.json else diff_text(difference))
    return CHANGED if args.fail_on_change and difference.anything else 0


def restore(words: list[str]) -> int:
    """`prior3d restore RUN@N`."""
    what = "Put an earlier version of a run back into its folder, byte for byte."
    parser = Parser.of("restore", what)
    parser.add_argument("version", metavar="RUN@N", help=A_VERSION)
    parser.add_argument("--reread", action="store_true", help="read and compare every file, even if it looks untouched")
    args = parser.parse_args(words)
    return say(restore_version(find_project(Path.cwd()), args.version, warn, reread=args.reread))


def export(words: list[str]) -> int:
    """`prior3d export RUN --to FOLDER|ZIP|FILE.glb [--splats KIND]`."""
    args = _export_parser().parse_args(words)
    target = Path(args.to).expanduser()
    kind = args.format or target.suffix.lower()[1:]
    version = find_version(find_project(Path.cwd()), args.version)
    options = MeshOptions(args.size, args.on_floor, args.roughness, args.metallic, args.without_light)
    if args.splats:
        if options != MeshOptions() or args.format:
            raise Prior3dError(
                "--splats writes splats as they are; leave out --format, --size and what else meshes have"
            )
        return say(export_version_splats(version, target, args.splats))
    if (options.roughness is not None or options.metallic is not None) and kind not in ("glb", "usdz"):
        raise Prior3dError("--roughness and --metallic are for a mesh alone, in GLB or USDZ; add --format glb or usdz")
    if kind in NOT_WRITTEN or kind in MESHES:
        from prior3d.meshes.export import format_of  # start-up: trimesh and Open3D, which a folder does not need

        chosen = format_of(target, args.format, NOT_WRITTEN)
        return say(export_version_mesh(version, target, chosen or kind, options))
    if options != MeshOptions():
        raise Prior3dError(
            "--size, --on-floor and --without-light are for a mesh alone; add --format, e.g. --format glb"
        )
    return say(export_version(version, target))


def _export_parser() -> Parser:
    what = "Copy the files of a version out of the project, with provenance.json and a page; or mesh or splats alone."
    parser = Parser.of("export", what)
    parser.add_argument("version", metavar="RUN", help=A_VERSION)
    endings = ", ".join(f".{kind}" for kind in MESHES)
    to = f"a new or empty folder, a new .zip file, or a new file for the mesh alone ({endings})"
    parser.add_argument("--to", required=True, metavar="FOLDER|ZIP|FILE", help=to)
    parser.add_argument("--format", choices=MESHES, help="the mesh alone, in this format")
    parser.add_argument("--size", type=_length, metavar="LENGTH", help="longest side of the mesh (glTF's unit: metres)")
    parser.add_argument("--on-floor", action="store_true", help="put the mesh's lowest point at height 0")
    splats = "the Gaussian splats alone, in this format (a run with scene_fit.kind=splats)"
    parser.add_argument("--splats", choices=SPLAT_FORMATS, help=splats)
    constant = "of the whole surface, 0 to 1, in GLB and USDZ"
    parser.add_argument("--roughness", type=_share, metavar="SHARE", help=f"roughness {constant} (as made: 1)")
    parser.add_argument("--metallic", type=_share, metavar="SHARE", help=f"metal {constant} (as made: 0)")
    light = "take the light that the embedded priors draw out of the texture (not of images and scenes of yours)"
    parser.add_argument("--without-light", action="store_true", help=light)
    return parser


def gc(words: list[str]) -> int:
    """`prior3d gc`."""
    what = "Remove the files in DVC's cache that no version of any run needs."
    parser = Parser.of("gc", what)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    keep = "also remove the files of all versions except the newest N of each run and the present one"
    parser.add_argument("--keep", type=_count, metavar="N", help=keep)
    parser.add_argument(
        "--forget-commits", action="store_true", help="also remove the files that only git commits need"
    )
    args = parser.parse_args(words)
    project = find_project(Path.cwd())
    garbage = find_garbage(project, args.keep, args.forget_commits)
    if not garbage.objects:
        return say(f"nothing to remove: {garbage.kept_text()}")
    say(garbage.text())
    if not args.yes and not _confirmed():
        return say("nothing was removed")
    return say(collect(project, args.keep, args.forget_commits))


def _confirmed() -> bool:
    sys.stdout.write("remove them? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _length(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length; use a number above 0, e.g. 0.1")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of versions; use at least 1")
    return int(text)
