"""Versions and differences as lines for a terminal."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.engine.record import Record
from flows.terminal import duration_text
from flows.versions.comparison import Difference, Measure, StageDifference

LONGEST = 60
MOST_FILES, MOST_CHANGES = 8, 8
SPELLING = {"psnr": "PSNR", "iou": "IoU", "glb": "GLB", "rgb": "RGB", "nerf": "NeRF", "uv": "UV", "gpu": "GPU"}


def log_lines(number: int, file: Path, record: Record | None, before: Record | None, present: bool) -> list[str]:
    """One version of a run: when, how and why it was made, and what it measured."""
    here = "  <- now" if present else ""
    if record is None:
        when = datetime.fromtimestamp(file.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
        return [f"@{number}  {when}  (its record is not here; see: prior3d diff){here}"]
    made = [s for s, o in record.outcomes.items() if o == "Completed"]
    restored = [s for s, o in record.outcomes.items() if o == "Restored"]
    what = [record.how] if record.how != "run" else []
    what += [f"made {_list(made, len(record.outcomes))} in {duration_text(record.seconds)}"] if made else []
    what += [f"from the cache: {_list(restored, len(record.outcomes))}"] if restored else []
    when = local_time(record.when)
    lines = [f"@{number}  {when}  {'; '.join(what) or record.how}{here}"]
    changes = record.changes or (["first version"] if number == 1 else [])
    rest = [f"and {len(changes) - MOST_CHANGES} more"] if len(changes) > MOST_CHANGES else []
    lines += [f"      {shorten(c)}" for c in changes[:MOST_CHANGES] + rest]
    if not changes:  # the request is the same: outputs were missing, or computed again on demand
        lines += [f"      {s}: {shorten('; '.join(r))}" for s, r in record.reasons.items()]
    moved = metric_changes(before, record)
    if moved:
        lines.append(f"      {'; '.join(moved)}")
    return lines


def metric_changes(before: Record | None, record: Record, most: int = 4) -> list[str]:
    """Metrics that moved since the version before, later stages first."""
    if before is None:
        return []
    moved = []
    for stage in reversed(record.metrics):
        for name, entry in record.metrics[stage].items():
            old = before.metrics.get(stage, {}).get(name)
            if old is not None and old["value"] != entry["value"]:
                unit = unit_of(name, entry)
                was, now = (value_text(e["value"], str(e.get("unit", ""))) for e in (old, entry))
                moved.append(f"{name} {was} -> {now}{unit}")
    return moved[:most]


def diff_text(d: Difference) -> str:
    """A difference, stage by stage."""
    lines = [f"{d.old.label} -> {d.new.label}  ({d.new.method})"]
    lines += [f"  input {name}: {shorten(a)} -> {shorten(b)}" for name, a, b in d.inputs]
    width = max((len(s.stage) for s in d.stages), default=0)
    for stage in d.stages:
        lines += _stage_lines(stage, width)
    if d.provenance:
        lines.append("made with")
        lines += [f"      {name}: {a} -> {b}" for name, a, b in d.provenance]
    return "\n".join(lines)


def _stage_lines(s: StageDifference, width: int) -> list[str]:
    mark = {"same": "=", "changed": "~", "new": "+", "gone": "-"}[s.state]
    if s.state in ("new", "gone"):
        return [f"{mark} {s.stage:<{width}}  {'only in the second' if s.state == 'new' else 'only in the first'}"]
    lines = [f"{mark} {s.stage:<{width}}  {bytes_text(s)}"]
    lines += [f"      {name}: {shorten(str(a))} -> {shorten(str(b))}" for name, a, b in s.parameters]
    if s.code:
        lines.append(f"      code {s.code[0]} -> {s.code[1]}")
        if s.functions is None:
            lines.append("        (the functions of one version were not recorded)")
        lines += [f"        {f}" for f in (s.functions or [])[:20]]
        lines += [f"        and {len(s.functions) - 20} more"] if s.functions and len(s.functions) > 20 else []
    lines += [f"      {measure_text(m)}" for m in s.measures]
    if s.state == "changed":
        lines += [f"      {measure_text(m)}" for m in s.cost if m.old != m.new]
        changed = [f"{p} ({state})" for p, state in (s.files or {}).items() if state != "same"]
        rest = [f"and {len(changed) - MOST_FILES} more"] if len(changed) > MOST_FILES else []
        lines += [f"      files: {', '.join(changed[:MOST_FILES] + rest)}"] if changed else []
    return lines


def bytes_text(s: StageDifference) -> str:
    """How much of an artifact is the same to the byte."""
    if s.files is None:
        return "its list of files was removed from the cache; its digest differs"
    if s.byte_identical:
        return "same to the byte"
    same = sum(state == "same" for state in s.files.values())
    return f"{same} of {len(s.files)} files the same to the byte"


def measure_text(m: Measure) -> str:
    """`mesh_psnr: 21.3 -> 22 dB (better)`."""
    judged = {True: " (better)", False: " (worse)", None: ""}[m.better]
    unit = unit_of(m.name, {"unit": m.unit})
    return f"{m.name}: {value_text(m.old, m.unit)} -> {value_text(m.new, m.unit)}{unit}{judged}"


def unit_of(name: str, entry: Mapping[str, Any]) -> str:
    """The unit with a space before it, unless the name says it already."""
    unit = str(entry.get("unit", ""))
    return "" if unit in ("", name, "yes/no") else f" {unit}"


def number_text(value: float | None) -> str:
    """Three to four digits, whole numbers with separators."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.4g}"


def measured_text(name: str, value: float, unit: str) -> str:
    """A measured number as people write it: yes, 10,000 faces, 4 min 29 s, 22.86 dB."""
    if unit == "s":
        return duration_text(value)
    return value_text(value, unit) + unit_of(name, {"unit": unit})


def value_text(value: float | None, unit: str) -> str:
    """A number without its unit; yes or no where that is the unit."""
    return ("yes" if value else "no") if unit == "yes/no" and value is not None else number_text(value)


def words(name: str) -> str:
    """An identifier as words, with the usual spelling of abbreviations."""
    return " ".join(SPELLING.get(word, word) for word in name.split("_"))


def local_time(utc: str) -> str:
    """A recorded time in this machine's time zone, to the minute."""
    return datetime.fromisoformat(utc.replace("Z", "+00:00")).astimezone().strftime("%Y-%m-%d %H:%M")


def shorten(text: str) -> str:
    """The text, cut after about two lines."""
    return text if len(text) <= 2 * LONGEST else text[: 2 * LONGEST - 3] + "..."


def _list(names: list[str], all_of: int) -> str:
    return "all stages" if len(names) == all_of and all_of > 1 else ", ".join(names)
