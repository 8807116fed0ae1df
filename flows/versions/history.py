"""The version of a run that a person names (`mug`, `mug@3`, `mug@<git revision>`), and all that is known about it."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flows.engine.project import Project
from flows.engine.record import Record, code_file, locked_code, locked_params, read_record
from flows.engine.run import Run
from flows.engine.run_files import InputEntry, LockEntry, Measure, derived, parse_json, read_method, text_of
from flows.engine.run_files import parse_lock as parsed_lock
from flows.versions.objects import Objects
from prior3d.errors import Prior3dError
from prior3d.inside import climbs
from prior3d.suggestions import did_you_mean

REVISION = re.compile(r"^[\w][\w./~^-]*$")


@dataclass(frozen=True)
class Version:
    """One state of a run.

    Attributes:
        run: the run.
        label: as a person would write it: `mug`, `mug@3`, `mug@v1.0`.
        text: its `dvc.lock`.
        lock: the stages in it.
        number: among the run's versions; None if it is not one of them (a run that was interrupted, another branch).
        record: what was recorded beside the lock; None for versions from before records.
    """

    run: Run
    label: str
    text: str
    lock: dict[str, LockEntry]
    number: int | None
    record: Record | None

    @cached_property
    def objects(self) -> Objects:
        """The cache that its files lie in."""
        return Objects(self.run.project.root)

    @cached_property
    def described(self) -> dict[str, Any]:
        """Method, preset, inputs and stages: from its record, else from the run as it is now."""
        if self.record is not None and self.record.stages:
            r = self.record
            return {"method": r.method, "preset": r.preset, "inputs": r.inputs, "stages": r.stages}
        return dict(read_method(self.run.folder))

    @property
    def method(self) -> str:
        """The name of its method."""
        return str(self.described.get("method"))

    @cached_property
    def is_present(self) -> bool:
        """Whether the run's folder holds this version now."""
        lock_file = self.run.folder / "dvc.lock"
        same = lock_file.is_file() and text_of(lock_file) == self.text
        return same or self.run.locked() == self.lock

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Method input -> file, and text, or name and digest, or what a file was called and its md5 in the lock."""
        digests = {d["path"]: d.get("md5") for e in self.lock.values() for d in e.get("deps") or []}
        found = {}
        for name, entry in (self.described.get("inputs") or {}).items():
            md5 = None if "sha256" in entry else digests.get(entry["file"])
            found[name] = entry if md5 is None else {**entry, "md5": str(md5).partition(".")[0]}
        return found

    @property
    def prompt(self) -> str:
        """Its first text input, else the names of its files; empty without either."""
        return asked(self.inputs)

    def params(self) -> dict[str, dict[str, Any]]:
        """Stage -> parameter -> value."""
        return {stage: locked_params(self.lock, stage) for stage in self.lock}

    def seeds(self) -> dict[str, Any]:
        """Stage -> seed, of those that have one."""
        return {stage: p["seed"] for stage, p in self.params().items() if "seed" in p}

    def code(self, stage: str) -> str:
        """The digest of a stage's code."""
        return locked_code(self.lock, stage)

    def functions(self, stage: str) -> dict[str, str] | None:
        """The functions behind the digest: `module.function` -> digest; None if they were not recorded."""
        modules = derived(code_file(self.run, self.code(stage)), dict[str, dict[str, str]])
        if modules is None:
            return None
        return {f"{m}: {name}": digest for m, names in modules.items() for name, digest in names.items()}

    def files(self, stage: str) -> dict[str, str] | None:
        """The files of a stage's outputs: path in the run's folder -> md5; None if the cache has lost the list.

        Raises:
            Prior3dError: a path leads out of the run's folder.
        """
        found = self.objects.files((self.lock.get(stage) or {}).get("outs") or [])
        outside = next((path for path in found or () if climbs(path)), None)
        if outside is not None:
            raise Prior3dError(
                f"{self.label}: the outputs of {stage} name {outside!r}, which lies outside the run's folder; "
                "restore its lock from git or a copy"
            )
        return found

    def place(self, stage: str, path: str) -> Path | None:
        """Where a file of a stage's outputs can be read: in the cache, or in the run's folder while it holds this."""
        md5 = (self.files(stage) or {}).get(path)
        if md5 is not None and self.objects.has(md5):
            return self.objects.path(md5)
        here = self.run.folder / path
        return here if self.is_present and here.is_file() else None

    def read(self, stage: str, path: str) -> bytes | None:
        """The content of a file of a stage's outputs; None without one, or if the cache has lost it."""
        place = self.place(stage, path)
        return place.read_bytes() if place is not None else None

    def metrics(self) -> dict[str, dict[str, Measure]]:
        """Stage -> measure -> {value, unit, n, higher_is_better}."""
        if self.record is not None and self.record.metrics:
            return self.record.metrics
        return {s: _json(self.read(s, f"{s}/metrics.json"), dict[str, Measure]) for s in self.lock}

    def cost(self) -> dict[str, dict[str, float]]:
        """Stage -> seconds, peak_memory_mb."""
        if self.record is not None and self.record.cost:
            return self.record.cost
        return {s: _json(self.read(s, f"{s}.cost.json"), dict[str, float]) for s in self.lock}

    def collected(self) -> list[str]:
        """The files of it that are no longer in the cache."""
        missing = []
        for stage, entry in self.lock.items():
            files = self.files(stage)
            if files is None:
                missing += [o["path"] for o in entry.get("outs") or [] if not self.objects.has(str(o.get("md5")))]
            else:
                missing += [path for path, md5 in files.items() if not self.objects.has(md5)]
        return missing

    def require_files(self) -> None:
        """Check that all its files are in the cache (raises Prior3dError that says how many were collected)."""
        missing = self.collected()
        if missing:
            raise Prior3dError(
                f"{self.label}: its files were collected: {len(missing)} are no longer in DVC's cache, {missing[0]} "
                "first; `dvc fetch --all-commits` if a remote has them, or give the run command of that version again"
            )


def asked(inputs: Mapping[str, InputEntry]) -> str:
    """The first text among the inputs of a run; else the names of its files and folders."""
    texts = [entry["text"] for entry in inputs.values() if entry.get("text")]
    files = [str(entry.get("given") or Path(entry["file"]).name) for entry in inputs.values() if "sha256" not in entry]
    return texts[0] if texts else ", ".join(files)


def _json(content: bytes | None, form: Any) -> dict[str, Any]:
    try:
        return dict(parse_json(content or b"{}", form))
    except ValueError:
        return {}


def find_version(project: Project, text: str) -> Version:
    """The version that `run`, `run@3` or `run@<git revision>` names.

    Raises:
        Prior3dError: there is no such run or version, or its lock is damaged; names what there is.
    """
    name, at, which = text.partition("@")
    run = Run(project, name).require()
    versions = run.versions()
    if not at:
        return _present(run, versions)
    if which.isdigit() and (len(which) < 7 or _numbered(versions, int(which))):
        found = _numbered(versions, int(which))
        if found is None:
            raise Prior3dError(f"run {name} has no version {which}; {_there_are(run, versions)}")
        return numbered_version(run, found)
    return _of_revision(run, which, versions)


def numbered_version(run: Run, lock_file: Path) -> Version:
    """The version of a file in `history/` (raises Prior3dError if it is damaged)."""
    number = int(lock_file.stem)
    text = text_of(lock_file) or ""
    lock = parse_lock(text, lock_file, run)
    return Version(run, f"{run.name}@{number}", text, lock, number, read_record(lock_file.with_suffix(".json")))


def records(files: list[Path]) -> Iterator[tuple[int, Path, Record | None]]:
    """Number, lock file and record of versions, without reading their locks."""
    for file in files:
        yield int(file.stem), file, read_record(file.with_suffix(".json"))


def parse_lock(text: str, where: Path | str, run: Run) -> dict[str, LockEntry]:
    """The stages of a lock (raises Prior3dError if it is damaged)."""
    try:
        return parsed_lock(text)
    except ValueError:
        raise Prior3dError(
            f"run {run.name}: {where} is damaged: it is not a DVC lock; bring it back from git or a copy, or delete it "
            "(the other versions are not touched)"
        ) from None


def _present(run: Run, versions: list[Path]) -> Version:
    lock_file = run.folder / "dvc.lock"
    if not lock_file.exists():
        raise Prior3dError(f"run {run.name} has made nothing yet; see: prior3d plan {run.name}")
    text = text_of(lock_file) or ""
    lock = parse_lock(text, lock_file, run)
    same = _same_text(text, versions[::-1])
    record = read_record(same.with_suffix(".json")) if same else None
    return Version(run, run.name, text, lock, int(same.stem) if same else None, record)


def _of_revision(run: Run, revision: str, versions: list[Path]) -> Version:
    place = f"data/runs/{run.name}/dvc.lock"
    text = git_file(run.project.root, revision, place) if REVISION.match(revision) else None
    if text is None:
        if refusal := git_refusal(run.project.root):
            raise Prior3dError(f"{run.name}@{revision}: {refusal}")
        hint = did_you_mean(revision, git_names(run.project.root), "", shown=lambda near: f"{run.name}@{near}")
        raise Prior3dError(
            f"{run.name}@{revision}: neither a version nor a git revision that holds {place}; "
            f"{hint}{' ' * bool(hint)}{_there_are(run, versions)}"
        )
    lock = parse_lock(text, f"{place} of {revision}", run)
    same = _same_text(text, versions[::-1])
    record = read_record(same.with_suffix(".json")) if same else None
    return Version(run, f"{run.name}@{revision}", text, lock, int(same.stem) if same else None, record)


def _same_text(text: str, files: list[Path]) -> Path | None:
    size = len(text.encode())
    return next((f for f in files if f.stat().st_size == size and text_of(f) == text), None)


def _numbered(versions: list[Path], number: int) -> Path | None:
    return next((f for f in versions if int(f.stem) == number), None)


def _there_are(run: Run, versions: list[Path]) -> str:
    numbers = [int(f.stem) for f in versions]
    if not numbers:
        return f"it has none yet; see: prior3d plan {run.name}"
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"its versions: {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"its one version: {numbers[0]}"
    return f"its versions: {', '.join(map(str, numbers))}"


def git_file(root: Path, revision: str, path: str) -> str | None:
    """A text file of the project at a git revision; None without it."""
    content = git_bytes(root, revision, path)
    return content.decode("utf-8", "replace") if content is not None else None


def git_bytes(root: Path, revision: str, path: str) -> bytes | None:
    """A file of the project at a git revision, or in the index if that is empty; None without it."""
    words = ["git", "-C", str(root), "cat-file", "blob", f"{revision}:./{path}"]
    done = subprocess.run(words, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def git_refusal(root: Path) -> str:
    """What git says of a repository that it does not open, e.g. one of another owner; empty without one."""
    words = ["git", "-C", str(root), "rev-parse", "--git-dir"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return " ".join(done.stderr.split()) if "ownership" in done.stderr else ""


def git_names(root: Path) -> list[str]:
    """Names of branches and tags."""
    words = ["git", "-C", str(root), "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.split()
