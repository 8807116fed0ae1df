"""README's commands run as they are written, from top to bottom, in one project.

What is not run stands in NOT_RUN, and README's source says so beside each. SHORT=1 gives the runs fewer steps.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
# A line of a code block, or a code span.
COMMAND = re.compile(
    r"^    ((?:bash|prior3d|\.venv/bin/).*)$|`((?:\.venv/bin/)?(?:prior3d|mkdocs) [^`]+)`", re.MULTILINE
)
MARK = re.compile(r"<!-- not run by tests/test_readme\.py: (.*?) -->", re.DOTALL)
NOT_RUN = {
    "bash install.sh": "CI does, and it needs the network",
    "bash install.sh --dev": "CI does, and it needs the network",
    ".venv/bin/python -m pytest": "this test is a part of it",
    "prior3d run": "a part of a sentence",
}
FEW_STEPS = {
    "quick": [
        "view_fit.steps=20", "joint_views.drawing.num_inference_steps=4", "evaluation.video_frames=2",
        "evaluation.size=32",
    ],
    "latent-nerf": [
        "rgb_refinement.steps=4", "evaluation.video_frames=2", "evaluation.size=32",
    ],
}  # fmt: skip
SERVERS = ("prior3d studio", "prior3d watch", "mkdocs serve")


def commands():
    """README's commands in their order, each once, with whether its source says that it is not run."""
    marked = {" ".join(each.split()) for text in MARK.findall(README) for each in text.split(";")}
    lines = [line or span for line, span in COMMAND.findall(MARK.sub("", README))]
    return {part.strip(): part.strip() in marked for line in lines for part in line.split(" && ")}


def as_run(command):
    """The words of a command; with SHORT=1 a new run has fewer steps."""
    method = next((m for m in FEW_STEPS if re.search(rf"(run|--method) {m}\b", command)), None)
    if method is None or "--help" in command or not os.environ.get("SHORT"):
        return command
    return command + "".join(f" --set {setting}" for setting in FEW_STEPS[method])


@pytest.fixture
def project(tmp_path):
    """A folder with `.venv`, and with the files that README takes for granted."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, module in (("prior3d", "flows.cli"), ("mkdocs", "mkdocs")):
        place = f"cd {ROOT} && " if name == "mkdocs" else ""
        (programs / name).write_text(f'#!/bin/sh\n{place}PYTHONPATH={ROOT} exec {sys.executable} -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    image = Image.new("RGBA", (160, 160))
    draw = ImageDraw.Draw(image)
    for box in ((50, 20, 110, 80), (40, 70, 120, 150), (45, 15, 65, 35), (95, 15, 115, 35)):
        draw.ellipse(box, (150, 100, 60, 255))
    image.save(tmp_path / "teddy.png")
    (tmp_path / "prompts.csv").write_text("prompt,seed\na green vase,1\na yellow duck,2\n")
    return tmp_path


def environment(project):
    """Commands find `prior3d` in `.venv`, and a browser that shows nothing."""
    names = {"PATH": f"{project / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}", "BROWSER": "true"}
    return {**os.environ, **names, "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}


def interrupted(command, project):
    """Start a server, wait for its address, and end it as ctrl-C does."""
    process = subprocess.Popen(
        f"exec {command}", shell=True, cwd=project, env=environment(project), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        # a shell's background jobs ignore SIGINT, and so would their children: do not depend on who calls the tests
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    said = []

    def listen():
        said.extend(process.stdout)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    until = time.monotonic() + 300
    while not any("http://" in line for line in said):
        assert time.monotonic() < until and process.poll() is None, "".join(said)
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    listener.join(60)
    assert "Traceback" not in "".join(said), "".join(said)


def test_what_is_not_run_is_marked_in_the_source():
    asked = commands()
    assert {command for command, marked in asked.items() if marked} == set(NOT_RUN)
    assert len(asked) > 25 and sum(command.startswith("prior3d ") for command in asked) > 20


def test_each_command_is_one_that_can_be_typed():
    for command in commands():
        assert not re.search(r"[A-Z]{3,}|\.\.\.", command), f"{command}: a stand-in for something; give an example"


@pytest.mark.slow
def test_readmes_commands_run_from_top_to_bottom(project):
    subprocess.run(["prior3d", "init"], cwd=project, env=environment(project), check=True)
    for command, marked in commands().items():
        if marked:
            continue
        began = time.monotonic()
        if command.startswith(SERVERS):
            interrupted(command, project)
        else:
            done = subprocess.run(
                as_run(command), shell=True, cwd=project, env=environment(project), capture_output=True, text=True,
                stdin=subprocess.DEVNULL, timeout=3600, check=False,
            )  # fmt: skip
            assert done.returncode == 0 and "Traceback" not in done.stderr, f"{command}\n{done.stdout}\n{done.stderr}"
        sys.stderr.write(f"{time.monotonic() - began:7.1f} s  {command}\n")
    assert (project / "mug.glb").read_bytes()[:4] == b"glTF"
    for run in ("mushroom", "teddy", "mug"):
        assert (project / "data" / "runs" / run / "texture_baking" / "mesh.glb").is_file()
    assert (project / "data" / "runs" / "mug" / "history" / "0002.lock").is_file()
