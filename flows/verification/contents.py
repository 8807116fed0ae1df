"""The files that stages made, in the runs' folders and in DVC's cache: each is compared with its md5.

One of the two copies is put back from the other. A list of a folder's files is made again from the folder.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flows.engine.digests import read_digests
from flows.engine.run import Run
from flows.engine.run_files import File, LockEntry, parse_lock, text_of
from flows.verification.findings import Check
from flows.verification.histories import History
from flows.versions.objects import DIRECTORY, Objects
from prior3d.inside import climbs, lies_inside

MD5 = re.compile(r"\bmd5: ?'?([0-9a-f]{32}(?:\.dir)?)\b")
READ_ONLY = 0o444  # as DVC leaves its objects
NO_COPY = "no copy is whole"


@dataclass
class Cache:
    """DVC's objects.

    Attributes:
        objects: where they lie.
        whole: md5s of those that are what their names say.
        damaged: md5s of the others.
        copies: md5 -> a whole file in a run's folder.
    """

    objects: Objects
    whole: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    copies: dict[str, Path] = field(default_factory=dict)


def check_contents(check: Check, histories: list[History], everything: bool) -> Cache:
    """Read artifacts and objects, and put back what has a whole copy.

    Args:
        check: the sitting.
        histories: of the runs that are looked at.
        everything: all objects of the cache, not only those that these runs name.
    """
    cache = Cache(Objects(check.project.root))
    _read_objects(check, cache, _all(cache.objects) if everything else _named(cache.objects, histories))
    locks = {history.run.name: _present(history) for history in histories}
    for history in histories:
        _remake_lists(check, cache, history.run, locks[history.run.name])
    for history in histories:
        _check_artifacts(check, cache, history.run, locks[history.run.name])
    _heal_objects(check, cache, histories)
    return cache


def _present(history: History) -> dict[str, LockEntry]:
    """The stages of a run's `dvc.lock`; none if it is damaged."""
    try:
        return parse_lock(text_of(history.run.folder / "dvc.lock") or "")
    except ValueError:
        return {}


def _all(objects: Objects) -> set[str]:
    return {f"{place.parent.name}{place.name}" for place in objects.folder.glob("[0-9a-f][0-9a-f]/*")}


def _named(objects: Objects, histories: list[History]) -> set[str]:
    texts = [text_of(h.run.folder / "dvc.lock") or "" for h in histories]
    texts += [content.decode("utf-8", "replace") for h in histories for content in h.locks().values()]
    names = {md5 for text in texts for md5 in MD5.findall(text)}
    for name in [n for n in names if n.endswith(DIRECTORY)]:
        names |= set((objects.listing(name) or {}).values())
    return names


def _read_objects(check: Check, cache: Cache, names: set[str]) -> None:
    places = {cache.objects.path(name): name for name in names if cache.objects.path(name).is_file()}
    digests = read_digests(places)
    check.n_read["object"] += len(places)
    for place, name in places.items():
        (cache.whole if digests[place] == name.removesuffix(DIRECTORY) else cache.damaged).add(name)


def _remake_lists(check: Check, cache: Cache, run: Run, lock: dict[str, LockEntry]) -> None:
    """Lists of folders that are damaged or gone, made again from the run's folder if that gives the same md5."""
    for stage, out in _outs(lock):
        md5, folder = out["md5"], run.folder / out["path"]
        if md5 in cache.whole or not md5.endswith(DIRECTORY) or not lies_inside(run.folder, out["path"]):
            continue
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        digests = read_digests(files)
        entries = [{"md5": digests[p], "relpath": p.relative_to(folder).as_posix()} for p in files]
        entries.sort(key=lambda entry: entry["relpath"])
        content = json.dumps(entries, sort_keys=True).encode()
        problem = f"the list of {run.name}: {stage} is {'damaged' if md5 in cache.damaged else 'missing'}"
        place, done = cache.objects.path(md5), ""
        if _md5(content) == md5.removesuffix(DIRECTORY):
            if check.heals:
                check.put_back(place, content, READ_ONLY)
                cache.whole.add(md5)
                done = "made again from the run's folder"
            cache.damaged.discard(md5)
            check.found("object", md5, problem, done)
        elif md5 not in cache.damaged:
            check.found("object", md5, problem, remedy=f"{NO_COPY}; prior3d run makes the stage again")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _outs(lock: dict[str, LockEntry]) -> Iterable[tuple[str, File]]:
    return ((stage, out) for stage, entry in lock.items() for out in entry.get("outs") or [] if "md5" in out)


def _check_artifacts(check: Check, cache: Cache, run: Run, lock: dict[str, LockEntry]) -> None:
    """Every file of the present version against its md5; first those that are whole, which may heal the others."""
    expected: dict[str, str] = {}
    for _, out in _outs(lock):
        if out["md5"].endswith(DIRECTORY) and out["md5"] not in cache.whole:
            continue  # what was in it is not known
        expected |= cache.objects.files([out]) or {}
    expected = {path: md5 for path, md5 in expected.items() if not climbs(path)}
    digests = read_digests(run.folder / path for path in expected)
    check.n_read["artifact"] += len(expected)
    for path, md5 in expected.items():
        place = run.folder / path
        if digests[place] == md5:
            cache.copies.setdefault(md5, place)
    for path, md5 in expected.items():
        if digests[run.folder / path] != md5:
            _heal_artifact(check, cache, run, path, md5)


def _heal_artifact(check: Check, cache: Cache, run: Run, path: str, md5: str) -> None:
    place = run.folder / path
    problem = "it is damaged or was edited" if place.is_file() else "it is missing"
    source = cache.objects.path(md5) if md5 in cache.whole else cache.copies.get(md5)
    if source is None:
        remedy = f"{NO_COPY}; prior3d run makes the stage again"
        check.found("artifact", f"{run.name}: {path}", problem, remedy=remedy)
        return
    done = ""
    if check.heals:
        check.put_back(place, source.read_bytes())
        cache.copies.setdefault(md5, place)
        done = f"put back from {'the cache' if md5 in cache.whole else 'another run'}"
    check.found("artifact", f"{run.name}: {path}", problem, done)


def _heal_objects(check: Check, cache: Cache, histories: list[History]) -> None:
    """Objects that are damaged, and those of present versions that are gone: put back, else set aside."""
    gone = {md5 for md5 in cache.copies if not cache.objects.has(md5)}
    users = _users(cache.objects, histories) if cache.damaged else {}
    for md5 in sorted(cache.damaged | gone):
        problem = "it is damaged" if md5 in cache.damaged else "it is missing"
        source, place, done = cache.copies.get(md5), cache.objects.path(md5), ""
        if check.heals and source is not None:
            check.put_back(place, source.read_bytes(), READ_ONLY)
            cache.whole.add(md5)
            done = f"put back from {check.shown(source)}"
        elif check.heals:
            check.set_aside(place)  # DVC takes what is read-only for whole
        whose = f" ({users[md5]})" if md5 in users else ""
        remedy = "" if source else f"{NO_COPY}, so it was {'set aside' if check.heals else 'left'}"
        check.found("object", f"{md5}{whose}", problem, done, remedy)


def _users(objects: Objects, histories: list[History]) -> dict[str, str]:
    """md5 -> `run@2: path`, of the newest version that names it."""
    found: dict[str, str] = {}
    for history in histories:
        for name, content in history.locks().items():
            for stage, out in _outs(parse_lock(content.decode())):
                found[out["md5"]] = f"{history.run.name}@{int(name[:-5])}: the list of {stage}"
                for path, md5 in (objects.files([out]) or {}).items():
                    found[md5] = f"{history.run.name}@{int(name[:-5])}: {path}"
    return found
