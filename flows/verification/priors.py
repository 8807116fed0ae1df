"""Priors: the digest of each that a run used; of the embedded ones each file, against git or the wheel's own list."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from flows.engine.digests import read_digests
from flows.engine.prior_files import file_digest, joined_digest, prior_files, remembered_digests
from flows.engine.run import Run
from flows.engine.run_files import Damaged, read_lock, read_method
from flows.verification.findings import Check
from flows.versions.history import git_bytes
from prior3d.diffusion.embedded import PACKAGE_PARENT, embedded_folders
from prior3d.errors import Prior3dError

AGAIN = "copy the prior again, or fetch it again"
Fits = Callable[[bytes], bool]


def check_priors(check: Check, runs: Iterable[Run], everything: bool) -> None:
    """Read the priors of runs, and all embedded ones if `everything` is asked for."""
    used: dict[Path, dict[str, str]] = {}  # folder -> digest -> a run that used it
    for run in runs:
        for folder, digest in _priors_of(run):
            used.setdefault(folder, {}).setdefault(digest, run.name)
    embedded = {f.resolve() for base in embedded_folders() for f in base.glob("*/") if f.is_dir()}
    for folder in sorted({*used, *(embedded if everything else ())}):
        n_before = len(check.findings)
        check.n_read["prior"] += 1
        if folder in embedded:
            _check_embedded(check, folder)
        if folder in used and len(check.findings) == n_before:
            _check_digest(check, folder, used[folder])


def _priors_of(run: Run) -> Iterable[tuple[Path, str]]:
    """Folder and digest of each prior that the run names, if it is on this machine."""
    try:
        entries = (read_method(run.folder).get("inputs") or {}).values()
        given = run.settings().get("priors") or {}
    except Prior3dError:
        return
    for entry in entries:
        if "digest" in entry:
            name = str(entry.get("name"))
            places = [Path(str(given[name])).expanduser()] if name in given else []
            places += [base / name for base in embedded_folders()] + [run.project.root / "data" / "priors" / name]
            folder = next((p.resolve() for p in places if p.is_dir()), None)
            if folder is not None:
                yield folder, entry["digest"]


def _check_digest(check: Check, folder: Path, used: dict[str, str]) -> None:
    """A prior as a whole, against what runs recorded; it is read whatever is remembered of its files."""
    digests = {file: file_digest(file) for file in prior_files(folder)}
    if joined_digest(folder, digests) in used:
        return
    known = {file: remembered_digests(check.project.state / "digests.json", file) for file in digests}
    changed = [p.relative_to(folder).as_posix() for p, digest in digests.items() if known[p] and digest not in known[p]]
    problem = f"{', '.join(changed) or 'a file in it'} is not what it was when run {next(iter(used.values()))} used it"
    check.found("prior", f"{folder.name} ({folder})", problem, remedy=AGAIN)


def _check_embedded(check: Check, folder: Path) -> None:
    """Each file of an embedded prior; those that a training has replaced, as `dvc.lock` says, are left alone."""
    committed = _committed(folder)
    try:
        trained = _trained(folder) if committed else set()
    except Damaged as error:
        check.found("lock", str(PACKAGE_PARENT / "dvc.lock"), str(error), remedy="bring it back from git")
        return
    for path, fits in (committed or _installed(folder)).items():
        content = path.read_bytes() if path.is_file() else None
        if content is not None and (path in trained or fits(content)):
            continue
        name = path.relative_to(folder).as_posix()
        problem = f"{name} {'is missing' if content is None else 'is damaged or was edited'}"
        old, done = git_bytes(folder, "HEAD", name) if committed else None, ""
        if old is not None and check.heals:
            check.put_back(path, old)
            done = "put back from git"
        remedy = "" if old is not None else "install prior3d again"
        check.found("prior", f"{folder.name} ({folder})", problem, done, remedy)


def _committed(folder: Path) -> dict[Path, Fits]:
    """The files of a folder in the last commit, if a repository has it: how to tell that a content is theirs."""
    words = ["git", "-C", str(folder), "ls-tree", "-r", "-z", "HEAD"]
    done = subprocess.run(words, capture_output=True, check=False)
    found = {}
    for line in done.stdout.decode("utf-8", "replace").split("\0") if done.returncode == 0 else []:
        about, _, name = line.partition("\t")
        if name:
            found[folder / name] = _is_blob(about.split()[2])
    return found


def _is_blob(name: str) -> Fits:
    kind = hashlib.sha256 if len(name) == 64 else hashlib.sha1
    return lambda content: kind(b"blob %d\0" % len(content) + content).hexdigest() == name


def _installed(folder: Path) -> dict[Path, Fits]:
    """The files of a folder in the wheel that it was installed from."""
    try:
        files = metadata.distribution("prior3d").files or []
    except metadata.PackageNotFoundError:
        return {}
    places = {Path(str(f.locate())).resolve(): f.hash for f in files if f.hash is not None}
    return {p: _is_sha256(h.value) for p, h in places.items() if h and h.mode == "sha256" and folder in p.parents}


def _is_sha256(name: str) -> Fits:
    return lambda content: base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode() == name


def _trained(folder: Path) -> set[Path]:
    """The files of an embedded prior that are what the project's `dvc.lock` says a training has made."""
    found: set[Path] = set()
    outs = [out for e in read_lock(PACKAGE_PARENT / "dvc.lock").values() for out in e.get("outs") or []]
    for out in outs:
        place, md5 = PACKAGE_PARENT / out["path"], str(out.get("md5"))
        if folder not in (place, *place.parents) or not place.exists():
            continue
        files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        digests = read_digests(files)
        entries = [{"md5": digests[p], "relpath": p.relative_to(place).as_posix()} for p in files]
        listed = json.dumps(sorted(entries, key=lambda e: e["relpath"]), sort_keys=True).encode()
        together = hashlib.md5(listed, usedforsecurity=False).hexdigest() + ".dir"
        if md5 == (together if place.is_dir() else digests[place]):
            found |= set(files)
    return found
