"""What a file says about where it came from: a function of its version's record and lock, the same in every export.

It is written when a file leaves the project, not when a stage makes it. A stage's output is shared by every run with
the same key, and the run's name is not in the key. And a digest of code inside an artifact would change the artifact
with every change of code: all stages behind it would run again although nothing that they read has changed.
"""

import hashlib
import json
from typing import Any, Required, TypedDict
from xml.sax.saxutils import escape, quoteattr

from flows.engine.run_files import parse_json
from flows.provenance.containers import NoPlace, put, take
from flows.versions.history import Version

FORMAT = 1
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SCORER = "scorer"  # a model that judges images, and makes none
XMP = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmp:CreatorTool={tool}{source_type}>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{description}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


class StageOf(TypedDict, total=False):
    """A stage that a file came through: digests of its code, its parameters and its output, and its seed."""

    code: str
    parameters: str
    output: str
    seed: int | None


class InputOf(TypedDict, total=False):
    """An input of a run: its text, or a prior's name and digest, or what a file was called and its md5."""

    text: str
    name: str
    digest: str
    given: str
    md5: str
    licence: str


class Statement(TypedDict, total=False):
    """Where one file came from. `md5` is of the file without this statement; `version` is None for no version."""

    format: Required[int]
    run: Required[str]
    version: int | None
    method: Required[str]
    preset: str
    prompt: str
    file: Required[str]
    md5: Required[str]
    lock_sha256: str
    inputs: dict[str, InputOf]
    stages: dict[str, StageOf]
    packages: dict[str, str]
    digital_source_type: str


def statement(version: Version, stage: str, path: str, md5: str) -> Statement:
    """What a file of a version says.

    Args:
        version: the version that it belongs to.
        stage: that made it.
        path: of the file in the run's folder.
        md5: of its content.
    """
    record, behind = version.record, chain(version, stage)
    names = {n for n, entry in version.inputs.items() if entry["file"] in paths_into(version, behind)}
    said = Statement(
        format=FORMAT,
        run=version.run.name,
        version=version.number,
        method=version.method,
        preset=str(version.described.get("preset", "")),
        prompt=version.prompt,
        file=path,
        md5=md5,
        lock_sha256=hashlib.sha256(version.text.encode()).hexdigest(),
        inputs={n: _input(version, n) for n in version.inputs if n in names},
        stages={s: _stage(version, s) for s in behind},
        packages=record.packages if record else {},
    )
    made_by = source_type(version, names)
    return said | Statement(digital_source_type=made_by) if made_by else said  # type: ignore[typeddict-item]


def chain(version: Version, stage: str) -> list[str]:
    """A stage and those whose outputs it was made from, in the order of the version's lock."""
    found, queue = set(), [stage]
    while queue:
        name = queue.pop()
        if name not in found and name in version.lock:
            found.add(name)
            queue += [d["path"] for d in version.lock[name].get("deps") or []]
    return [name for name in version.lock if name in found]


def paths_into(version: Version, stages: list[str]) -> set[str]:
    """The paths of inputs that some stages take."""
    return {d["path"] for s in stages for d in version.lock[s].get("deps") or [] if d["path"] not in version.lock}


def source_type(version: Version, names: set[str]) -> str:
    """IPTC's digital source type for what was made from some inputs; empty if no trained model took part.

    What a prior made out of words alone is `trainedAlgorithmicMedia`. With a person's images or mesh in it, it is
    `compositeWithTrainedAlgorithmicMedia`.
    """
    entries = {name: version.inputs[name] for name in names}
    if not any("digest" in e for name, e in entries.items() if name != SCORER):
        return ""
    given = any("sha256" not in e for e in entries.values())
    return f"{SOURCE_TYPES}{'compositeWithTrainedAlgorithmicMedia' if given else 'trainedAlgorithmicMedia'}"


def _input(version: Version, name: str) -> InputOf:
    entry = version.inputs[name]
    kept = {key: entry[key] for key in ("text", "name", "digest", "given", "md5") if key in entry}
    licence = version.record.licences.get(name) if version.record else None
    return InputOf(**kept, **({"licence": licence} if licence else {}))  # type: ignore[typeddict-item]


def _stage(version: Version, stage: str) -> StageOf:
    params, entry = version.params()[stage], version.lock[stage]
    outs = [str(out.get("md5")) for out in entry.get("outs") or [] if out["path"] == stage]
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()[:16]
    seed = params.get("seed")
    return StageOf(code=version.code(stage), parameters=digest, output="".join(outs), seed=seed)


def with_statement(version: Version, stage: str, path: str, content: bytes) -> bytes:
    """A file of a version as it leaves the project: with its statement, if its format has a place for one."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return carrying(path, content, statement(version, stage, path, md5))


def carrying(path: str, content: bytes, said: Statement) -> bytes:
    """A file with a statement; as it is if its format has no place for one."""
    try:
        return put(path, content, json.dumps(said, separators=(",", ":")), _xmp(said))
    except NoPlace:
        return content  # damaged, or of another kind than its name says: it is given away as it is


def _xmp(said: Statement) -> str:
    made_by = said.get("digital_source_type", "")
    return XMP.format(
        tool=quoteattr(f"prior3d {said['packages'].get('prior3d', '')}".strip()),
        source_type=f" Iptc4xmpExt:DigitalSourceType={quoteattr(made_by)}" if made_by else "",
        description=escape(said.get("prompt", "")),
    )


def read_statement(content: bytes) -> tuple[bytes, Statement | None]:
    """A file's content without its statement, and the statement; None without a readable one."""
    try:
        bare, text = take(content)
        said: Any = parse_json(text, Statement) if text is not None else None
    except ValueError:
        return content, None
    return bare, said
