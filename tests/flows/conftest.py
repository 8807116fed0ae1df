import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_priors import write_prior

FAKE = Path(__file__).parent / "fake"
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Fake:
    """A project with the fake method, whose stages' code may be edited."""

    project: Path
    code: Path
    prior: Path
    capfd: pytest.CaptureFixture

    def cli(self, *words: str, plain: bool = True) -> tuple[int, str, str]:
        """Exit code, stdout, stderr of the command line, in this process."""
        from flows.cli import main

        os.chdir(self.project)
        sys.modules.pop("fake_stages", None)
        for name in [m for m in sys.modules if m.startswith("fake_stages.")]:
            del sys.modules[name]
        self.capfd.readouterr()
        try:
            code = main([*words, *(["--plain"] if plain and words[0] == "run" else [])])
        except SystemExit as left:
            code = left.code or 0
        out, err = self.capfd.readouterr()
        return code, out, err

    def run(self, *words: str, prompt: str = "one two", name: str = "demo") -> tuple[int, str, str]:
        return self.cli(
            "run",
            "counting-method",
            "--prompt",
            prompt,
            "--name",
            name,
            "--prior",
            str(self.prior),
            "--preset",
            "toy",
            *words,
        )

    def command(self, *words: str) -> subprocess.Popen:
        """`run` as a process of its own, in its own process group."""
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{self.code}", "PYTHONUNBUFFERED": "1"}
        line = [sys.executable, str(self.code / "fake_prior3d.py"), "run", "counting-method", "--prompt", "one two",
                "--name", "demo", "--prior", str(self.prior), "--preset", "toy", "--plain", *words]  # fmt: skip
        # a shell's background jobs ignore SIGINT, and so would their children: do not depend on who calls the tests
        return subprocess.Popen(line, cwd=self.project, env=env, text=True, start_new_session=True,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def outcomes(self, out: str) -> dict[str, str]:
        """Stage -> how it ended, from the plain display."""
        words = {"unchanged in": "Cached", "restored in": "Restored", "done in": "Completed"}
        found = {}
        for line in out.splitlines():
            stage, _, rest = line.partition(" ")
            for words_of_it, outcome in words.items():
                if rest.strip().startswith(words_of_it):
                    found[stage] = outcome
        return found

    def folder(self, name: str = "demo") -> Path:
        return self.project / "data" / "runs" / name

    def text(self, stage: str, name: str = "demo") -> str:
        return (self.folder(name) / stage / "text.txt").read_text()

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.code / "fake_stages" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture
def fake(tmp_path, monkeypatch, capfd):
    from flows import methods
    from flows.engine import fingerprint
    from flows.engine.project import init_project

    code = tmp_path / "code"
    shutil.copytree(FAKE, code, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(code))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # edits within one second must be seen
    fingerprint._package_folder.cache_clear()
    from fake_prior3d import fake_method

    monkeypatch.setitem(methods.METHODS, "counting-method", fake_method())
    before = Path.cwd()
    init_project(tmp_path / "project")
    yield Fake(tmp_path / "project", code, write_prior(tmp_path / "a_prior"), capfd)
    os.chdir(before)
    sys.modules.pop("fake_prior3d", None)


@pytest.fixture(autouse=True)
def nobody_steps_back(monkeypatch):
    """`watch` lowers the priority of its process, which is the tests' own here, and would stay so."""
    monkeypatch.setattr(os, "nice", lambda step: step)
