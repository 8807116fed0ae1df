"""The commands that describe methods and stages."""

from flows.methods import METHODS
from flows.terminal import Parser, say, table
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean


def list_methods(words: list[str]) -> int:
    """`prior3d methods`."""
    Parser.of("methods", "All methods, with their stages; those in brackets are optional.").parse_args(words)
    rows = []
    for method in METHODS.values():
        stages = " -> ".join(f"[{s.name}]" if s.brought_with else s.name for s in method.stages)
        rows.append([method.name, method.summary, stages])
    return say(table(rows))


def stage(words: list[str]) -> int:
    """`prior3d stage NAME`."""
    known = {s.name: s for m in METHODS.values() for s in m.stages}
    if not words:
        raise Prior3dError(f"prior3d stage: NAME is missing; stages: {', '.join(known)}")
    name = Parser.of("stage", f"Help for a stage: {', '.join(known)}.", "name").parse_args(words).name
    if name not in known:
        hint = did_you_mean(name, known, f"stages: {', '.join(known)}")
        raise Prior3dError(f"there is no stage {name!r}; {hint}")
    from flows.reference import stage_reference  # start-up: pydantic, which the errors above do not need

    return say(stage_reference(known[name]))
