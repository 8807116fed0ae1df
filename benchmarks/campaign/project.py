"""A project with the smallest method that there is (stages that take no time), whose commands are disturbed."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.campaign.hook import HOOK
from tests.flows.fake.fake_priors import write_prior

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "tests" / "flows" / "fake"
SLOW = ("--set", "counting.steps=40", "--set", "counting.pause_s=0.02")
LONGEST_S = 180.0
GROUP_LEAVES_S = 25.0


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


class FakeProject:
    """A folder with an initialised project, of which fresh copies are made for each trial."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="faults-"))
        (self.base / "hook").mkdir()
        (self.base / "hook" / "sitecustomize.py").write_text(HOOK)
        prior = write_prior(self.base / "a_prior")
        self.line: tuple[str, ...] = (
            "counting-method", "--prompt", "one two", "--prior", str(prior), "--preset", "toy"
        )  # fmt: skip
        self.root, self.template = self.base / "project", self.base / "template"
        self.template.mkdir()
        done = self.wait(self.start("init", folder=self.template))
        if done.code:
            raise RuntimeError(done.said)

    def fresh(self, template: Path | None = None) -> None:
        """Begin again with a copy of an untouched project, or of another one."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(template or self.template, self.root, symlinks=True)

    def start(self, *words: str, folder: Path | None = None, **fault: str) -> subprocess.Popen[str]:
        """A command as a process in a group of its own; `fault` is for the hook."""
        paths = [str(self.base / "hook"), str(ROOT), str(FAKE)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", **fault}
        environment |= {"OMP_NUM_THREADS": "1", "DVC_SITE_CACHE_DIR": str(self.base / "site")}
        command = [sys.executable, str(FAKE / "fake_prior3d.py"), *words]
        return subprocess.Popen(
            command, cwd=folder or self.root, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )  # fmt: skip

    def run(self, *words: str, plain: bool = True, **fault: str) -> subprocess.Popen[str]:
        """`prior3d run` of the method that is tried: the smallest one, unless `trying` says another."""
        return self.start("run", *self.line, "--name", "demo", *(["--plain"] if plain else []), *words, **fault)

    def trying(self, line: Sequence[str]) -> None:
        """From now on `run` makes another method: its name and its words."""
        self.line = tuple(line)

    def wait(self, process: subprocess.Popen[str]) -> Done:
        """Until a command has ended; one that does not is killed, with exit code 124."""
        try:
            said = process.communicate(timeout=LONGEST_S)[0]
            return Done(process.returncode, said)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return Done(124, process.communicate()[0])

    @property
    def run_folder(self) -> Path:
        """Of the run `demo`."""
        return self.root / "data" / "runs" / "demo"

    def results(self) -> dict[str, str]:
        """What has to be the same whatever happened: outputs by their md5, without times.

        The loss curves are left out: this method's stage saves its state at every step without asking whether that is
        due, and so its curve is kept only by a stop that can be noticed.
        """
        left_out = (".cost.json", "dvc.lock", ".tmp")
        found = {}
        for file in sorted(self.run_folder.rglob("*")):
            parts = file.relative_to(self.run_folder).parts
            if file.is_file() and parts[0] not in (".work", "history", "losses") and not file.name.endswith(left_out):
                found["/".join(parts)] = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
        return found

    def after(self, good: dict[str, str], *words: str) -> str:
        """Give the command again, and say what is wrong then; empty if everything is as it would have been."""
        done = self.wait(self.run(*words))
        if done.code:
            return f"does not go on: {done.last}"
        if "Traceback" in done.said:
            return f"a traceback: {done.last}"
        if self.results() != good:
            return "another result"
        names = {p.name for p in (self.run_folder / "history").glob("000*")}
        if not any(n.endswith(".lock") for n in names) or len([n for n in names if n.endswith(".json")]) < 1:
            return f"no record of the version: {sorted(names)}"
        left = [p.name for p in self.run_folder.rglob("*.tmp")]
        return f"temporary files: {left[:3]}" if left else ""

    def left_behind(self, group: int) -> bool:
        """Whether a process of a command's group is still there after its time to end."""
        until = time.monotonic() + GROUP_LEAVES_S
        while time.monotonic() < until:
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.2)
        return True

    def remove(self) -> None:
        """Everything."""
        shutil.rmtree(self.base, ignore_errors=True)
