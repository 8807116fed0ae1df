"""`prior3d completion`: the words that may come next, and what shells are given."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands.completion import SCRIPTS, candidates


def test_words_that_may_come_next(fake):
    assert fake.run(name="a-mug")[0] == 0
    assert candidates(["pl"]) == ["plan"] and "status" in candidates([""])
    assert "latent-nerf" in candidates(["run", "lat"]) and candidates(["run", "a-"]) == ["a-mug"]
    assert candidates(["status", ""]) == ["a-mug"] and candidates(["export", "a-mug", "--to", ""]) == []
    assert "--prompt" in candidates(["run", "latent-nerf", "--"]) and "--json" in candidates(["ls", "--"])
    assert {"--roughness", "--on-floor"} <= set(candidates(["export", "a-mug", "--"]))
    assert candidates(["stage", "coarse"]) == ["coarse_nerf"] and candidates(["init", ""]) == []
    code, out, err = fake.cli("completion", "words", "--", "status", "a")
    assert (code, out, err) == (0, "a-mug\n", "")


def test_outside_a_project_there_are_no_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert candidates(["status", ""]) == [] and "run" in candidates(["r"])


def test_an_unknown_shell(fake):
    code, _, err = fake.cli("completion", "tcsh")
    assert code == 2 and "bash" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_one_that_the_shell_takes(shell, fake):
    script = fake.cli("completion", shell)[1]
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    check = [shell, "-n"] if shell != "fish" else [shell, "--no-execute"]
    assert subprocess.run(check, input=script, text=True, capture_output=True, check=False).stderr == ""


def test_bash_completes_a_command(fake, tmp_path):
    """With the script loaded, as a person's bash does it."""
    tool = tmp_path / "prior3d"
    root = Path(__file__).resolve().parents[2]
    tool.write_text(f'#!/bin/bash\nPYTHONPATH={root} exec {sys.executable} -m flows.cli "$@"\n')
    tool.chmod(0o755)
    ask = 'COMP_WORDS=(prior3d completi); COMP_CWORD=1; _prior3d; echo "${COMPREPLY[@]}"'
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    script = f"{SCRIPTS['bash']}\n{ask}\n"
    done = subprocess.run(["bash", "-c", script], env=env, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "completion"
