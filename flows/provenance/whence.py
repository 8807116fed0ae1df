"""What `prior3d whence FILE` says: what the file itself states, and what the project knows of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.engine.project import Project
from flows.provenance.statement import SOURCE_TYPES, Statement, chain, paths_into, read_statement
from flows.provenance.tracing import Holder, holders, md5_of, run_of
from flows.terminal import table
from flows.versions.comparison import input_text
from flows.versions.history import Version
from prior3d.errors import Prior3dError

SHOWN_HOLDERS = 6


@dataclass(frozen=True)
class Origin:
    """All that is known about where a file came from.

    Attributes:
        file: the file.
        md5: of its content without its statement.
        said: its statement; None if it carries none.
        project: that was looked through; None outside of one.
        holders: the versions that hold this content.
    """

    file: Path
    md5: str
    said: Statement | None
    project: Project | None
    holders: list[Holder] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether the content is what the file was when its statement was written."""
        return self.said is not None and self.said["md5"] == self.md5


def origin_of(file: Path, project: Project | None) -> Origin:
    """Look a file up.

    Args:
        file: anything; an artifact, an exported file, a copy.
        project: to look through; None to ask the file alone.

    Raises:
        Prior3dError: there is no such file, or nothing is known about it.
    """
    if file.is_dir():
        raise Prior3dError(f"{file} is a folder; name one file in it")
    if not file.is_file():
        raise Prior3dError(f"{file}: there is no such file")
    content, said = read_statement(file.read_bytes())
    md5 = md5_of(content)
    here = run_of(file, project) if project is not None else None
    found = [] if project is None else holders(project, md5, [here[0]] if here else None)
    found = found or ([] if project is None or here is None else holders(project, md5))
    if here is not None:
        found.sort(key=lambda h: h.path != here[1])  # its own place before copies of it
    if not found and said is None:
        raise Prior3dError(_unknown(file, project, here and here[1]))
    return Origin(file, md5, said, project, found)


def _unknown(file: Path, project: Project | None, place: str | None) -> str:
    if project is None:
        return (
            f"{file} carries no provenance, and this folder is in no project that could know it; "
            "give --project DIR, the project that it was copied from"
        )
    if place is not None and place.startswith("inputs/"):
        return f"{file} lies in an input of its run: a person gave it, no stage made it"
    if place is not None:
        return (
            f"{file} is no file that a version of its run holds: it was edited, damaged or added; see: prior3d verify"
        )
    return (
        f"{file} carries no provenance, and no run of {project.root} holds a file with its content; "
        "give --project DIR if it is from another project"
    )


def as_text(origin: Origin) -> str:
    """An origin for people."""
    lines = [str(origin.file)]
    if origin.said is not None:
        lines += ["says", table(_said_rows(origin.said)), f"  {_state(origin)}"]
    if origin.holders:
        first = origin.holders[-1] if not _in_place(origin) else origin.holders[0]
        lines += ["in this project", *_holder_lines(origin), "made from", chain_text(first)]
    elif origin.project is not None:
        run = origin.said["run"] if origin.said is not None else ""
        gone = "has no such run" if not (origin.project.runs / run).is_dir() else "does not hold this content"
        lines.append(f"in this project: {origin.project.root} {gone}")
    return "\n".join(lines)


def _in_place(origin: Origin) -> bool:
    here = run_of(origin.file, origin.project) if origin.project else None
    return here is not None and origin.holders[0].path == here[1]


def _state(origin: Origin) -> str:
    if origin.is_whole:
        return "its content is what it was when that was written"
    return "its content was changed after that was written"


def _said_rows(said: Statement) -> list[list[str]]:
    version = said.get("version")
    preset = said.get("preset")
    rows = [
        ["run", f"{said['run']}, version {version}" if version else f"{said['run']} (not a version)"],
        ["method", f"{said['method']}, {preset}" if preset else said["method"]],
        ["file", said["file"]],
    ]
    for name, entry in (said.get("inputs") or {}).items():
        licence = f", licence: {entry['licence']}" if entry.get("licence") else ""
        rows.append([name, input_text({"file": "?", **entry}) + licence])
    stages = said.get("stages") or {}
    seeds = sorted({str(s["seed"]) for s in stages.values() if s.get("seed") is not None})
    rows.append(["seed", ", ".join(seeds) or "-"])
    rows.append(["code", ", ".join(f"{name} {s.get('code', '?')}" for name, s in stages.items())])
    made_by = said.get("digital_source_type", "").removeprefix(SOURCE_TYPES)
    rows.append(["source type", f"{made_by} (IPTC)" if made_by else "none: no trained model took part"])
    rows.append(["packages", ", ".join(f"{n} {v}" for n, v in (said.get("packages") or {}).items()) or "not recorded"])
    return [[f"  {head}", text] for head, text in rows]


def _holder_lines(origin: Origin) -> list[str]:
    lines = [f"  {h.version.label}  {h.path}" for h in origin.holders[-SHOWN_HOLDERS:]]
    more = len(origin.holders) - len(lines)
    return [*([f"  {more} more, and"] if more else []), *lines]


def chain_text(holder: Holder) -> str:
    """Every stage behind a file, last first, with what each was made from; then the inputs."""
    version = holder.version
    stages = chain(version, holder.stage) if holder.stage else []
    rows = []
    for stage in reversed(stages):
        deps = [d["path"] for d in version.lock[stage].get("deps") or []]
        rows.append([f"  {stage}", f"code {version.code(stage)}", f"from {', '.join(deps)}"])
    by_path = {entry["file"]: name for name, entry in version.inputs.items()}
    for path in sorted(paths_into(version, stages)) or [holder.path]:
        rows.append([f"  {path}", by_path.get(path, "input"), _input_text(version, by_path.get(path, ""))])
    return table(rows)


def _input_text(version: Version, name: str) -> str:
    text = input_text(version.inputs.get(name))
    licence = version.record.licences.get(name) if version.record else None
    return f"{text}, licence: {licence}" if licence else text


def as_json(origin: Origin) -> dict[str, Any]:
    """An origin as plain values."""
    return {
        "file": str(origin.file),
        "md5": origin.md5,
        "says": origin.said,
        "unchanged": origin.is_whole if origin.said is not None else None,
        "project": str(origin.project.root) if origin.project else None,
        "holders": [
            {"version": h.version.label, "stage": h.stage, "path": h.path, "chain": _chain_json(h)}
            for h in origin.holders
        ],
    }


def _chain_json(holder: Holder) -> list[dict[str, Any]]:
    version = holder.version
    stages = chain(version, holder.stage) if holder.stage else []
    return [
        {
            "stage": s,
            "code": version.code(s),
            "from": {d["path"]: d.get("md5") for d in version.lock[s].get("deps") or []},
        }
        for s in reversed(stages)
    ]
