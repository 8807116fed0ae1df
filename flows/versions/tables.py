"""The tables of a page: what differs, what was measured, what it cost, where it came from."""

import html
from typing import Any

from flows.versions.comparison import changed_functions, facts, input_text
from flows.versions.history import Version
from flows.versions.text import number_text, unit_of

SPELLING = {"psnr": "PSNR", "iou": "IoU", "glb": "GLB", "rgb": "RGB", "nerf": "NeRF", "uv": "UV", "gpu": "GPU"}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def differences(versions: list[Version]) -> str:
    """Inputs and parameters that are not the same in all, then stage by stage: code, and files to the byte."""
    rows = []
    for name in dict.fromkeys(n for v in versions for n in v.inputs):
        shown = [input_text(v.inputs.get(name)) for v in versions]
        if len(set(shown)) > 1:
            rows.append([f"input {words(name)}", *(_e(s) for s in shown)])
    for stage, name, values in varying_parameters(versions):
        rows.append([f"{words(stage)}: {_e(name)}", *(_e(v) for v in values)])
    asked = _table(["", *_heads(versions)], rows) if rows else "<p>Inputs and parameters are the same.</p>"
    return f"{asked}<h3>Code and artifacts</h3>{_stage_table(versions)}"


def varying_parameters(versions: list[Version]) -> list[tuple[str, str, list[Any]]]:
    """(stage, parameter, value of each version) where the values are not all the same."""
    found = []
    all_params = [v.params() for v in versions]
    for stage in _stages(versions):
        for name in dict.fromkeys(n for p in all_params for n in p.get(stage, {})):
            values = [p.get(stage, {}).get(name, "-") for p in all_params]
            if any(value != values[0] for value in values):
                found.append((stage, name, values))
    return found


def _stage_table(versions: list[Version]) -> str:
    first, rows = versions[0], []
    for stage in _stages(versions):
        cells = [words(stage)]
        for version in versions[1:]:
            cells.append(_against(first, version, stage))
        rows.append(cells)
    heads = [f"{LETTERS[i]} against {LETTERS[0]}" for i in range(1, len(versions))]
    return _table(["stage", *heads], rows)


def _against(first: Version, other: Version, stage: str) -> str:
    if stage not in first.lock or stage not in other.lock:
        return "only in one of them"
    before, after = first.files(stage), other.files(stage)
    parts = []
    if before is None or after is None:
        parts.append("files collected")
    else:
        own = [p for p in before.keys() | after.keys() if p.startswith(f"{stage}/")]
        same = sum(before.get(p) == after.get(p) for p in own)
        whole = '<b class="same">same to the byte</b>'
        parts.append(whole if same == len(own) else f"{same} of {len(own)} files the same")
    if first.code(stage) != other.code(stage):
        parts.append(_functions_text(first, other, stage))
    return "; ".join(parts)


def _functions_text(first: Version, other: Version, stage: str) -> str:
    names = changed_functions(first.functions(stage), other.functions(stage))
    codes = f"code <code>{_e(first.code(stage)[:8])}</code> &rarr; <code>{_e(other.code(stage)[:8])}</code>"
    if names is None:
        return f"{codes} (functions not recorded)"
    shown = "".join(f"<li>{_e(n)}</li>" for n in names)
    return f"{codes}<details class='inner'><summary>{len(names)} functions</summary><ul>{shown}</ul></details>"


def measurements(versions: list[Version]) -> str:
    """Every measure of every stage; where they differ and one direction is better, the best is marked."""
    metrics, rows = [v.metrics() for v in versions], []
    for stage in _stages(versions):
        names = dict.fromkeys(n for m in metrics for n in m.get(stage, {}))
        rows += [[words(stage)]] if names else []
        for name in names:
            entries = [m.get(stage, {}).get(name) for m in metrics]
            unit = unit_of(name, next(e for e in entries if e))
            rows.append([f"{words(name)} <small>{_e(unit)}</small>", *_values(entries)])
    if not rows:
        return "<p>Nothing was measured.</p>"
    return _table(["", *_heads(versions, "value")], rows, numbers=True)


def _values(entries: list[dict[str, Any] | None]) -> list[str]:
    known = [float(e["value"]) for e in entries if e]
    better = next((e.get("higher_is_better") for e in entries if e), None)
    differ = len(set(known)) > 1
    best = (max if better else min)(known) if differ and better is not None else None
    cells = []
    for entry in entries:
        if entry is None:
            cells.append("-")
            continue
        value = float(entry["value"])
        text = ("yes" if value else "no") if entry.get("unit") == "yes/no" else number_text(value)
        cells.append(f'<b class="best">{text}</b>' if value == best else f"<em>{text}</em>" if differ else text)
    return cells


def cost(versions: list[Version]) -> str:
    """Seconds and peak memory of each stage, with bars."""
    costs, rows = [v.cost() for v in versions], []
    longest = max((c.get("seconds", 0.0) for cost in costs for c in cost.values()), default=0.0) or 1.0
    for stage in _stages(versions):
        cells = [words(stage)]
        for index, cost_of in enumerate(costs):
            seconds = cost_of.get(stage, {}).get("seconds")
            share = 100 * (seconds or 0) / longest
            bar = f'<span class="bar c{index}" style="width:{share:.1f}%"></span>'
            text = "-" if seconds is None else f"{number_text(round(seconds, 1))} s"
            cells.append(f'<div class="barred"><span>{text}</span><i>{bar}</i></div>')
        for cost_of in costs:
            entry = cost_of.get(stage, {})
            memory = entry.get("peak_gpu_memory_mb", entry.get("peak_memory_mb"))
            cells.append("-" if memory is None else f"{memory:,.0f} MB")
        rows.append(cells)
    totals = [sum(c.get("seconds", 0.0) for c in cost_of.values()) for cost_of in costs]
    peaks = [max((c.get("peak_memory_mb", 0.0) for c in cost_of.values()), default=0.0) for cost_of in costs]
    rows.append(["all", *(f"{number_text(round(t, 1))} s" for t in totals), *(f"{p:,.0f} MB" for p in peaks)])
    return _table(["stage", *_heads(versions, "time"), *_heads(versions, "memory")], rows)


def provenance(versions: list[Version]) -> str:
    """Priors, seeds, code and artifacts by digest; git revision, machine and packages as they were recorded."""
    rows = []
    for name in dict.fromkeys(n for v in versions for n in v.inputs):
        entries = [v.inputs.get(name) for v in versions]
        shown = [
            _e(input_text(e)) + (f"<br><code>{_e(e['digest'])}</code>" if e and "digest" in e else "") for e in entries
        ]
        rows.append([f"{words(name)}", *shown])
    rows.append(["seed", *(_e(", ".join(sorted({str(s) for s in v.seeds().values()})) or "-") for v in versions)])
    known = [facts(v) for v in versions]
    packages = [v.record.packages if v.record else {} for v in versions]
    same = {k: n for k, n in packages[0].items() if all(p.get(k) == n for p in packages)}
    for key in dict.fromkeys(k for f in known for k in f if k not in same):
        rows.append([_e(key), *(_e(f.get(key, "not recorded")) for f in known)])
    rows.append(
        ["packages" if len(versions) == 1 else "packages of all", ", ".join(f"{k} {n}" for k, n in same.items())]
    )
    for stage in _stages(versions):
        cells = []
        for v in versions:
            out = next((o.get("md5") for o in (v.lock.get(stage) or {}).get("outs") or [] if o["path"] == stage), "-")
            cells.append(f"code <code>{_e(v.code(stage)[:12])}</code><br>output <code>{_e(str(out)[:12])}</code>")
        rows.append([words(stage), *cells])
    return _table(["", *_heads(versions, "")], rows)


def parameters(versions: list[Version]) -> str:
    """Every parameter; those that differ are marked."""
    boxes = []
    all_params = [v.params() for v in versions]
    for stage in _stages(versions):
        rows = []
        for name in dict.fromkeys(n for p in all_params for n in p.get(stage, {})):
            values = [p.get(stage, {}).get(name, "-") for p in all_params]
            differ = any(v != values[0] for v in values)
            rows.append([_e(name), *(f"<em>{_e(v)}</em>" if differ else _e(v) for v in values)])
        boxes.append(f"<h3>{words(stage)}</h3>{_table(['', *_heads(versions, 'value')], rows)}")
    return "".join(boxes)


def words(name: str) -> str:
    """An identifier as words, with the usual spelling of abbreviations; safe in HTML."""
    return html.escape(" ".join(SPELLING.get(word, word) for word in name.split("_")))


def _stages(versions: list[Version]) -> list[str]:
    return list(dict.fromkeys(stage for v in versions for stage in v.lock))


def _heads(versions: list[Version], alone: str = "") -> list[str]:
    if len(versions) == 1:
        return [alone]
    what = f" {alone}" if alone in ("time", "memory") else ""
    return [f'<span class="letter c{i}">{LETTERS[i]}</span>{what}' for i in range(len(versions))]


def _table(heads: list[str], rows: list[list[str]], numbers: bool = False) -> str:
    """A table whose rows may be shorter: the last cell takes what is left, and a cell alone is a heading."""
    kind = ' class="number"' if numbers else ""
    head = "".join(f"<th{kind if i else ''}>{h}</th>" for i, h in enumerate(heads))
    lines = []
    for row in rows:
        last = f' colspan="{len(heads) - len(row) + 1}"' if len(row) < len(heads) else ""
        cells = [f"<td{kind if i else ''}{last if i == len(row) - 1 else ''}>{c}</td>" for i, c in enumerate(row)]
        group = ' class="group"' if len(row) == 1 else ""
        lines.append(f"<tr{group}>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)
