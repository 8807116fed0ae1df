"""`prior3d reproduce FILE`: make a file again from its inputs, and compare the bytes."""

from pathlib import Path

from flows.commands.provenance import PROJECT, project_of
from flows.commands.running import plan_text
from flows.engine.events import Events
from flows.engine.plan import Plan
from flows.progress import make_display
from flows.provenance.reproduction import holder_of, prepared, scratch_of
from flows.provenance.reproduction import reproduce as reproduce_file
from flows.provenance.whence import origin_of
from flows.terminal import Parser, say, warn

DIFFERENT = 1  # exit code


def reproduce(words: list[str]) -> int:
    """`prior3d reproduce FILE`."""
    what = (
        "Make a file again from its inputs, in a scratch place, and compare the bytes. Exits with 1 if they differ. "
        "The same command again resumes it."
    )
    parser = Parser.of("reproduce", what)
    parser.add_argument("file", metavar="FILE", type=Path, help="an artifact of a run, an exported file, or a copy")
    parser.add_argument("--project", type=Path, metavar="DIR", help=PROJECT)
    args = parser.parse_args(words)
    file = args.file.expanduser().absolute()
    origin = origin_of(file, project_of(file, args.project))
    holder = holder_of(origin)
    declaration, _ = prepared(holder)
    say(f"making {holder.path} of {holder.version.label} again in {scratch_of(holder.version.run.project, holder)}")
    events = Events()
    display = make_display([s.name for s in declaration.method.stages], True)
    events.listen(display)

    def show_plan(plan: Plan) -> None:
        say(plan_text(plan))

    try:
        result = reproduce_file(origin, holder, events, show_plan, warn)
    finally:
        display.close()
    say(result.text())
    return 0 if result.same else DIFFERENT
