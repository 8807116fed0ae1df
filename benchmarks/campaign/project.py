"""A project with the smallest method that there is (stages that take no time), whose commands are disturbed."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.campaign.hook import HOOK
from benchmarks.campaign.left_processes import MARK, processes_of
from benchmarks.campaign.parent import Command, Parent
from flows.engine.record import read_record
from tests.flows.fake.fake_priors import write_prior

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "tests" / "flows" / "fake"
SLOW = ("--set", "counting.steps=40", "--set", "counting.pause_s=0.02")
LONGEST_S = 180.0
ENDS_WITHIN_S = 25.0
MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code (negative: the signal), and what it said."""

    code: int
    said: str

    @property
    def last(self) -> str:
        """Its last line."""
        return (self.said.strip().splitlines() or [""])[-1][:100]

    @property
    def is_plain(self) -> bool:
        """Whether it ended well, or with exit code 2 and without a traceback."""
        return self.code in (0, 2) and "Traceback" not in self.said


def _without_costs(lock: Path) -> bytes:
    """A lock's content but for the files that hold seconds."""
    values = yaml.load(lock.read_bytes(), Loader=yaml.CSafeLoader)
    for entry in values["stages"].values():
        entry["outs"] = [out for out in entry["outs"] if not out["path"].endswith(".cost.json")]
    return json.dumps(values).encode()


class FakeProject:
    """A folder with an initialised project, of which fresh copies are made for each trial."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="faults-", dir=MEMORY if MEMORY.is_dir() else None))
        (self.base / "hook").mkdir()
        (self.base / "hook" / "sitecustomize.py").write_text(HOOK)
        prior = write_prior(self.base / "a_prior")
        self.line: tuple[str, ...] = (
            "counting-method", "--prompt", "one two", "--prior", str(prior), "--preset", "toy"
        )  # fmt: skip
        self.root, self.template = self.base / "project", self.base / "template"
        self.site, self.temporary = self.base / "site", self.base / "temporary"
        self.temporary.mkdir()
        self._parent = Parent(FAKE / "fake_prior3d.py", self._environment())
        self._make_template()

    def _environment(self) -> dict[str, str]:
        paths = os.pathsep.join([str(self.base / "hook"), str(ROOT), str(FAKE)])
        changed = {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
        return {**os.environ, **changed, "DVC_SITE_CACHE_DIR": str(self.site), "TMPDIR": str(self.temporary), MARK: ""}

    def _make_template(self) -> None:
        """An initialised project in which another run was made and removed: what is derived once is there."""
        self.root.mkdir()
        self.must("init")
        self.must("run", *self.line, "--name", "other", "--plain", "--set", "counting.steps=2")
        shutil.rmtree(self.root / "data" / "runs" / "other")
        shutil.copytree(self.root, self.template, symlinks=True)

    def must(self, *words: str) -> None:
        """A command that has to end well (raises RuntimeError)."""
        done = self.wait(self.start(*words))
        if done.code:
            raise RuntimeError(done.said)

    def fresh(self, template: Path | None = None) -> None:
        """Begin again with a copy of an untouched project, or of another one."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(template or self.template, self.root, symlinks=True)

    def start(self, *words: str, folder: Path | None = None, **fault: str) -> Command:
        """A command as a process in a group of its own; `fault` is for the hook."""
        return self._parent.start(words, folder or self.root, {MARK: str(self.base), **fault})

    def run(self, *words: str, plain: bool = True, **fault: str) -> Command:
        """`prior3d run` of the method that is tried: the smallest one, unless `trying` says another."""
        return self.start("run", *self.line, "--name", "demo", *(["--plain"] if plain else []), *words, **fault)

    def trying(self, line: Sequence[str]) -> None:
        """From now on `run` makes another method: its name and its words."""
        self.line = tuple(line)

    def wait(self, process: Command) -> Done:
        """Until a command has ended; one that does not is killed, with exit code 124."""
        try:
            said = process.communicate(LONGEST_S)
        except subprocess.TimeoutExpired:
            for pid in {process.pid, *processes_of(self.base)}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return Done(124, "it did not end")
        code = process.poll()
        return Done(124 if code is None else code, said)

    @property
    def run_folder(self) -> Path:
        """Of the run `demo`."""
        return self.root / "data" / "runs" / "demo"

    def results(self, name: str = "demo") -> dict[str, str]:
        """What has to be the same of a run whatever happened: everything but times, by its md5."""
        left_out, folder = (".cost.json", ".tmp"), self.run_folder.with_name(name)
        found = {}
        for file in sorted(folder.rglob("*")):
            parts = file.relative_to(folder).parts
            if file.is_file() and parts[0] not in (".work", "history") and not file.name.endswith(left_out):
                content = _without_costs(file) if file.name == "dvc.lock" else file.read_bytes()
                found["/".join(parts)] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return found

    def finished(self) -> set[str]:
        """The stages whose results are committed: the entries of the run's lock, if it is whole."""
        with contextlib.suppress(OSError, yaml.YAMLError, AttributeError, TypeError):
            return set(yaml.safe_load((self.run_folder / "dvc.lock").read_text())["stages"])
        return set()

    def repeated(self, finished: set[str], done: Done) -> str:
        """What a command made again though it was finished; empty without."""
        again = sorted(stage for stage in finished if re.search(rf"^{stage} +running$", done.said, re.M))
        return f"finished, and made again: {again}" if again else ""

    def after(self, good: dict[str, str], *words: str) -> str:
        """Give the command again, and say what is wrong then; empty if everything is as it would have been."""
        finished = self.finished()
        done = self.wait(self.run(*words))
        if done.code:
            return f"does not go on: {done.last}"
        if "Traceback" in done.said:
            return f"a traceback: {done.last}"
        if repeated := self.repeated(finished, done):
            return repeated
        found = self.results()
        if found != good:
            return f"another result: {sorted(k for k in {*found, *good} if found.get(k) != good.get(k))[:3]}"
        return self._record() or self._left()

    def _record(self) -> str:
        """What is wrong with the records; empty if each version has one, and the newest is the present lock."""
        history = self.run_folder / "history"
        locks = sorted(history.glob("*.lock"))
        if not locks or locks[-1].read_bytes() != (self.run_folder / "dvc.lock").read_bytes():
            return "the present state is no version"
        for lock in locks:
            record = read_record(lock.with_suffix(".json"))
            if record is None or record.how != "run" or not record.inputs:
                return f"version {lock.stem} has no whole record"
        return ""

    def _left(self) -> str:
        """Temporary files and processes that are left; empty without."""
        left = [p.name for p in self.run_folder.rglob("*.tmp")]
        return f"temporary files: {left[:3]}" if left else "a process is left" if self.left_behind() else ""

    def left_behind(self) -> bool:
        """Whether a process that a command started is still there after its time to end."""
        until = time.monotonic() + ENDS_WITHIN_S
        while processes_of(self.base):
            if time.monotonic() > until:
                return True
            time.sleep(0.02)
        return False

    def remove(self) -> None:
        """Everything."""
        self._parent.close()
        shutil.rmtree(self.base, ignore_errors=True)
