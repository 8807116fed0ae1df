"""`prior3d import FILE`: a file of Gaussian splats as a run."""

from flows.commands.run import run
from flows.splats import METHOD
from flows.terminal import Parser, say


def import_file(words: list[str]) -> int:
    """`prior3d import FILE.ply [--name NAME]`: short for `prior3d run splats --splats FILE.ply ...`."""
    what = "Make a run of a file of Gaussian splats: its page, a textured mesh, other formats. Options: as for run."
    parser = Parser.of("import", what)
    parser.add_argument("file", metavar="FILE", help="a .ply, .spz, .splat or .glb of Gaussian splats")
    parser.add_argument("--name", metavar="NAME", help="name of the run (default: the file's)")
    if words in (["-h"], ["--help"]):
        parser.print_help()
        return say(f"all options: prior3d run {METHOD.name} --help")
    args, rest = parser.parse_known_args(words)
    return run([METHOD.name, "--splats", args.file, *(["--name", args.name] if args.name else []), *rest])
