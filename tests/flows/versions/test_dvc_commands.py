"""What people who know DVC type in a project: a run's folder is an ordinary pipeline to it."""

import json
import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
FILE = "data/runs/demo/dvc.yaml"


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def dvc(folder, *words):
    line = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(line, cwd=folder, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def committed(fake):
    """A run with two versions, each in a commit, `one` and `two`, and a remote."""
    git(fake.project, "init", "-q")
    shutil.rmtree(fake.project / ".dvc")  # made anew, now that there is a repository
    fake.cli("init")
    dvc(fake.project, "remote", "add", "-d", "store", str(fake.project.parent / "remote"))
    for tag, steps in (("one", 3), ("two", 2)):
        assert fake.run("--set", f"counting.steps={steps}")[0] == 0
        git(fake.project, "add", "-A")
        git(fake.project, "commit", "-qm", tag)
        git(fake.project, "tag", tag)
    return fake


def test_stages_parameters_metrics_and_plots(committed):
    folder = committed.project
    dag = dvc(folder, "dag", FILE)
    assert all(stage in dag for stage in ("counting", "shouting", "joining"))
    assert dvc(folder, "status", FILE).strip() == "Data and pipelines are up to date."
    params = json.loads(dvc(folder, "params", "diff", "one", "two", "--json"))
    assert params["data/runs/demo/params.yaml"] == {"counting.steps": {"old": 3, "new": 2, "diff": -1}}
    metrics = json.loads(dvc(folder, "metrics", "diff", "one", "two", "--json"))
    measured = metrics["data/runs/demo/counting/metrics.json"]
    assert measured["drawn.value"] == {"old": 3.0, "new": 2.0, "diff": -1.0}
    shown = json.loads(dvc(folder, "metrics", "show", "--json"))[""]["data"]
    assert shown["data/runs/demo/counting.cost.json"]["data"]["peak_memory_mb"] > 1
    plots = json.loads(dvc(folder, "plots", "diff", "one", "two", "--json", "--split"))["data"]
    (name,) = [n for n in plots if "losses/counting.json" in n]
    points = plots[name][0]["anchor_definitions"]["<DVC_METRIC_DATA>"]
    assert {(p["rev"], p["step"]) for p in points} == {*(("one", s) for s in (1, 2, 3)), *(("two", s) for s in (1, 2))}


def test_repro_by_hand_makes_what_has_changed(committed):
    (committed.folder() / "joining" / "text.txt").unlink()
    path = os.pathsep.join([str(committed.code), str(committed.code.parents[3]), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}  # noqa: PTH120
    line = [sys.executable, "-m", "dvc", "repro", FILE]
    done = subprocess.run(line, cwd=committed.project, env=env, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (committed.folder() / "joining" / "text.txt").is_file()
    assert committed.cli("plan", "demo")[1].count("unchanged") == 3


def test_push_and_pull_carry_versions_to_a_clone(committed, tmp_path):
    folder, clone = committed.project, tmp_path / "clone"
    dvc(folder, "push")
    subprocess.run(["git", "clone", "-q", str(folder), str(clone)], check=True, capture_output=True)
    dvc(clone, "pull")
    committed.project = clone
    assert committed.cli("plan", "demo")[1].count("unchanged") == 3
    assert (committed.folder() / "counting" / "text.txt").read_text().startswith("one two")
    code, _, err = committed.cli("restore", "demo@1")
    assert code == 2 and "its files were collected" in err and "dvc fetch --all-commits" in err
    dvc(folder, "push", "--all-commits")
    dvc(clone, "fetch", "--all-commits")
    assert committed.cli("restore", "demo@1")[0] == 0
    assert json.loads((committed.folder() / "counting" / "metrics.json").read_text())["drawn"]["value"] == 3
