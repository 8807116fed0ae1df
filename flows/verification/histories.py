"""A run's versions: their locks, their records and the lists of functions, against `history/SHA256SUMS`."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.engine.checksums import NAME, read_sums, sums_file, sums_text
from flows.engine.dvc_store import DvcStore
from flows.engine.record import read_record
from flows.engine.run import Run
from flows.engine.run_files import LockEntry, derived, parse_lock, text_of
from flows.verification.findings import Check, alike
from flows.versions.history import git_bytes
from prior3d.files import write_whole

DIGEST = re.compile(r"[0-9a-f]{64}")
NAMED = re.compile(r"[0-9]{1,9}\.(lock|json)|code/[0-9a-f]+\.json")
NO_COPY = {
    "lock": "no copy of it is whole: bring it back from git or a copy, or delete it; other versions are not touched",
    "record": "no copy of it is whole: bring it back from git or a copy; without it the version tells less",
}


@dataclass
class History:
    """What is known of a run's history.

    Attributes:
        run: whose.
        noted: file -> digest, as the list of digests has it.
        garbled: whether that list cannot be read to the letter; then a digest counts for any file.
        whole: file -> its content, of the whole ones.
        kept: file -> the digest that it has to have.
        unnamed: digests of whole files that the list has under no name or under another.
        n_new: how many files the list does not know at all.
    """

    run: Run
    noted: dict[str, str]
    garbled: bool
    whole: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    unnamed: set[str] = field(default_factory=set)
    n_new: int = 0

    @property
    def folder(self) -> Path:
        """`history`."""
        return self.run.folder / "history"

    def locks(self) -> dict[str, bytes]:
        """The whole locks, oldest first."""
        return {name: content for name, content in self.whole.items() if name.endswith(".lock")}


def check_history(check: Check, run: Run) -> History:
    """Read every file of a run's history; put back what another copy has."""
    folder = run.folder / "history"
    said, noted = sums_file(folder), read_sums(folder)
    history = History(run, noted, garbled=sums_text(noted) != said)
    digests, doubtful = set(DIGEST.findall(said)), {}
    for name in _names(folder):
        content = (folder / name).read_bytes()
        check.n_read[_kind(name)] += 1
        digest = _digest(content)
        if _is_noted(digest, noted.get(name), digests, history.garbled):
            history.whole[name], history.kept[name] = content, digest
            history.unnamed |= {digest} - {noted.get(name, "")}
        else:
            doubtful[name] = content
    missing = [name for name in noted if NAMED.fullmatch(name) and not (folder / name).is_file()]
    for name, content in doubtful.items():
        _damaged_or_new(check, history, name, content)
    for name in missing:
        _missing(check, history, name)
    _check_sums(check, history, said)
    return history


def _names(folder: Path) -> Iterator[str]:
    """Locks first: other files are put back from git only."""
    for pattern in ("[0-9]*.lock", "[0-9]*.json", "code/*.json"):
        yield from sorted(p.relative_to(folder).as_posix() for p in folder.glob(pattern) if p.is_file())


def _is_noted(digest: str, noted: str | None, digests: set[str], garbled: bool) -> bool:
    """Whether a digest is in the list, perhaps with a letter or two turned over: the list was damaged then."""
    if digest == noted or (digest in digests and (garbled or noted is None)):
        return True
    known = digests if garbled or noted is None else {noted}
    return any(sum(a != b for a, b in zip(digest, other, strict=True)) <= 2 for other in known)


def _kind(name: str) -> str:
    return "lock" if name.endswith(".lock") else "record"


def _damaged_or_new(check: Check, history: History, name: str, content: bytes) -> None:
    noted = history.noted.get(name)
    if noted is None and _has_form(history.folder / name):
        history.whole[name], history.kept[name] = content, _digest(content)
        history.n_new += 1
        return
    _heal(check, history, name, noted, "it is damaged or was edited" if noted is not None else "it is damaged")


def _has_form(path: Path) -> bool:
    """Whether a file without a noted digest is at least what its name says."""
    if path.suffix == ".lock":
        try:
            return bool(parse_lock(text_of(path) or ""))
        except ValueError:
            return False
    if path.parent.name == "code":
        return derived(path, dict[str, dict[str, str]]) is not None
    return read_record(path) is not None


def _missing(check: Check, history: History, name: str) -> None:
    stem, digest = name.partition(".")[0], history.noted[name]
    if digest in history.unnamed:
        return  # the list has the digest of another file under this name
    versions = [p.stem for p in history.run.versions()]
    if "/" not in name and stem not in versions and not (history.folder / f"{stem}.json").is_file():
        return  # a person deleted the whole version
    if name.endswith(".lock") and int(stem) > max(map(int, versions), default=0):
        history.kept[name] = digest
        return  # a kill fell between the record and the lock: the next run writes it
    _heal(check, history, name, digest, "it is missing")


def _heal(check: Check, history: History, name: str, noted: str | None, problem: str) -> None:
    what = f"{history.run.name}: history/{name}"
    source = next(((c, where) for c, where in _copies(history, name) if _digest(c) == noted), None)
    if noted is not None:
        history.kept[name] = noted
    if source is None or not check.heals:
        check.found(_kind(name), what, problem, remedy="" if source else NO_COPY[_kind(name)])
        return
    check.put_back(history.folder / name, source[0])
    history.whole[name] = source[0]
    check.found(_kind(name), what, problem, f"put back from {source[1]}")


def _copies(history: History, name: str) -> Iterator[tuple[bytes, str]]:
    """Contents that may be the same file's."""
    lock = history.run.folder / "dvc.lock"
    if name.endswith(".lock"):
        yield (lock.read_bytes() if lock.is_file() else b""), "dvc.lock"
        yield from ((c, f"history/{n}, which is equal") for n, c in history.whole.items() if n.endswith(".lock"))
    root = history.run.project.root
    path = (history.folder / name).relative_to(root).as_posix()
    for revision in ("", "HEAD"):  # the index, the last commit
        content = git_bytes(root, revision, path)
        if content is not None:
            yield content, "git"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _check_sums(check: Check, history: History, said: str) -> None:
    """Write the list of digests again if it is not what it has to be."""
    text = sums_text(history.kept)
    if text == said or not history.kept:
        return
    other = any(history.noted.get(n, d) != d for n, d in history.kept.items())
    if said and (history.garbled or history.unnamed or other):
        done = "written again from the files that are whole" if check.heals else ""
        check.found("checksum", f"{history.run.name}: history/{NAME}", "it is damaged", done)
    elif history.n_new:
        check.notes.append(f"{history.run.name}: {history.n_new} files of its history had no digest; noted as they are")
    if check.heals:
        write_whole(history.folder / NAME, text)


def check_lock(check: Check, history: History) -> None:
    """Compare `dvc.lock` with the versions; one that belongs to none has to be known to DVC's cache of results."""
    run, place, locks = history.run, history.run.folder / "dvc.lock", history.locks()
    if not place.is_file():
        return
    content = place.read_bytes()
    check.n_read["lock"] += 1
    if content in locks.values():
        return
    near = next((name for name in reversed(locks) if alike(content, locks[name])), None)
    try:
        entries = parse_lock(content.decode())
    except ValueError:
        entries, near = {}, near or next(reversed(locks), None)
    what = f"{run.name}: dvc.lock"
    if near is not None:
        done = f"put back from history/{near}" if check.heals else ""
        if check.heals:
            check.put_back(place, locks[near])
        check.found("lock", what, "it is damaged", done)
    elif strange := _strange(history, entries):
        problem = f"{', '.join(strange)}: known to no version and not to DVC's cache of results; damaged or edited"
        check.found("lock", what, problem, remedy=f"see: prior3d plan {run.name}")
    elif not entries:
        check.found("lock", what, "it is damaged", remedy="give the run command again")


def _strange(history: History, entries: dict[str, LockEntry]) -> list[str]:
    """The stages of a lock that neither a version nor DVC's cache of results has."""
    versions = [parse_lock(content.decode()) for content in history.locks().values()]
    others = {s: e for s, e in entries.items() if not any(lock.get(s) == e for lock in versions)}
    known = DvcStore(history.run.project.root).knows(dict(others)) if others else {}
    return [stage for stage, is_known in known.items() if not is_known]
