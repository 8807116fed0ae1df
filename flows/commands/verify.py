"""`prior3d verify`: read everything that runs rest on, name what is damaged, put back what has a whole copy."""

from pathlib import Path

from flows.engine.project import find_project
from flows.terminal import USER_ERROR, Parser, say
from flows.verification.verify import summary
from flows.verification.verify import verify as verify_runs
from prior3d.errors import Prior3dError


def verify(words: list[str]) -> int:
    """`prior3d verify RUN ...` or `prior3d verify --all`; returns 2 if something is left for a person to do."""
    what = (
        "Read every artifact, cache object, lock, record, checkpoint and prior, and compare it with its digest. "
        "What is damaged is named, and put back from its copy in the cache, the run's folder or git; it is kept in "
        ".prior3d/damaged. Exits with 2 if something is left for you to do."
    )
    parser = Parser.of("verify", what)
    parser.add_argument("runs", metavar="RUN", nargs="*", help="a run, with all its versions")
    every = "all runs, the whole cache and the embedded priors"
    parser.add_argument("--all", action="store_true", help=every)
    parser.add_argument("--look", action="store_true", help="only look: put nothing back")
    args = parser.parse_args(words)
    if bool(args.runs) == args.all:
        raise Prior3dError("prior3d verify: name a run, or give --all")
    check = verify_runs(find_project(Path.cwd()), args.runs, heals=not args.look)
    say(summary(check))
    return 0 if all(finding.healed for finding in check.findings) else USER_ERROR
