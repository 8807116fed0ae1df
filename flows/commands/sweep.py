"""`prior3d sweep FILE`: many runs out of one file, several at a time; again, it makes what failed or is missing."""

import sys
import webbrowser
from pathlib import Path

from flows.engine.project import find_project
from flows.methods import find_method
from flows.sweeps.page import page_of_sweep
from flows.sweeps.places import carry_out, check_place, place_of
from flows.sweeps.rows import sweep_name, wanted_runs
from flows.sweeps.running import DONE, FAILED, State, states_of
from flows.sweeps.seen_done import SeenDone
from flows.sweeps.table import read_rows
from flows.terminal import USER_ERROR, Parser, say, show, table, warn
from prior3d.files import write_whole

WHAT = """\
Make the runs of a file, a row a run. The same command again makes only what failed or is missing; rows that are added
later run alone. A stage that several rows share is computed once.

A column is an input (prompt, image, ...), a parameter (STAGE.NAME), or one of name, method, seed, preset, device.
FILE.yaml may hold `rows` (a list) and `grid` (column: list of values), of which every combination runs."""


def _parser() -> Parser:
    """Its options."""
    parser = Parser.of("sweep", WHAT)
    parser.add_argument("file", metavar="FILE", type=Path, help="rows as .csv, .jsonl or .yaml")
    parser.add_argument("--method", default="", metavar="METHOD", help="of rows that name none")
    one = "a parameter of all rows; a row's own value wins; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.PARAMETER=VALUE", help=one)
    where = (
        "local:N is N runs at once on this machine (default: local:1); dask:ADDRESS and ray:ADDRESS are clusters, "
        "without an address one of this machine; prefect is the work pool of `prior3d deploy`"
    )
    parser.add_argument("--on", default="local:1", metavar="PLACE", help=where)
    taken = "of runs made elsewhere, bring here all files (default), those of the last stage, or none"
    parser.add_argument("--take", default="all", choices=("all", "last", "none"), help=taken)
    parser.add_argument("--plan", action="store_true", help="only check the file and say what would run")
    parser.add_argument("--open", action="store_true", help="open the sweep's page in the browser")
    return parser


def sweep(words: list[str]) -> int:
    """`prior3d sweep FILE`; returns 2 if a run failed."""
    args = _parser().parse_args(words)
    check_place(args.on)
    path = args.file.expanduser().absolute()
    project, name = find_project(Path.cwd()), sweep_name(path)
    if args.method:
        find_method(args.method)
    seen = SeenDone(project, name)
    states = states_of(project, wanted_runs(project, name, read_rows(path), args.method, args.set, seen), seen)
    missing = sum(state.state != DONE for state in states)
    say(f"sweep {name}: {len(states)} runs, {len(states) - missing} done, {missing} to make")
    if args.plan:
        return say(table(_rows(states)))
    try:
        if missing:
            carry_out(states, place_of(project, name, args.on, args.take, warn), seen, _Told(states))
    except KeyboardInterrupt:
        show(sys.stderr, "stopped: the runs that went on have saved their checkpoints; the same command resumes them")
        raise
    page = project.state / "pages" / f"sweep-{name}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, page_of_sweep(project, name, states))
    say(f"{table(_rows(states))}\n{page}")
    if args.open:
        webbrowser.open(page.as_uri())
    return USER_ERROR if any(state.state == FAILED for state in states) else 0


class _Told:
    """Says when a run begins and how it ended."""

    def __init__(self, states: list[State]) -> None:
        self._left = [s for s in states if s.state != DONE]
        self._n, self._ended = len(self._left), 0

    def __call__(self, state: State) -> None:
        name = state.wanted.name
        if state.state not in (DONE, FAILED):
            say(f"  {name}: begins")
            return
        self._ended += 1
        how = f"done in {state.seconds:.1f} s" if state.state == DONE else f"failed: {state.problem}"
        say(f"  {name}: {how} ({self._ended} of {self._n})")


def _rows(states: list[State]) -> list[list[str]]:
    rows = [["run", "method", "state", "seconds", ""]]
    for s in states:
        seconds = f"{s.seconds:.1f}" if s.seconds else "-"
        asked = s.problem or ", ".join(
            f"{k}={v}" for k, v in s.wanted.row.values.items() if k not in ("name", "method")
        )
        rows.append([s.wanted.name, s.wanted.method.name, s.state, seconds, asked[:100]])
    return rows
