"""What is remembered of versions, and how a person names them: `prior3d log`, `prior3d diff`."""

import json
import subprocess

import pytest

from flows.engine.record import lock_changes, parameter_changes


def git(fake, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", *identity, *words], cwd=fake.project, check=True, capture_output=True, text=True
    ).stdout


def record(fake, number, name="demo"):
    return json.loads((fake.folder(name) / "history" / f"{number:04d}.json").read_text())


def test_a_version_is_described(fake):
    fake.run("--seed", "4")
    fake.run("--seed", "4", "--set", "shouting.exclamation_marks=2")
    first, second = record(fake, 1), record(fake, 2)
    assert first["how"] == "run" and first["changes"] == [] and first["method"] == "counting-method"
    assert first["outcomes"] == dict.fromkeys(("counting", "shouting", "joining"), "Completed")
    assert first["reasons"]["counting"] == ["new"]
    assert first["metrics"]["counting"]["drawn"] == {"value": 3.0, "unit": "", "n": 1, "higher_is_better": True}
    assert first["cost"]["counting"]["peak_memory_mb"] > 1
    assert first["seconds"] == pytest.approx(sum(c["seconds"] for c in first["cost"].values()), abs=0.02)
    assert first["inputs"]["prompt"]["text"] == "one two" and first["inputs"]["prior"]["digest"]
    assert first["packages"]["torch"] and first["git"] == {}
    assert second["changes"] == ["shouting.exclamation_marks: 1 -> 2"]
    assert second["reasons"] == {"shouting": ["exclamation_marks: 1 -> 2"]}
    assert second["outcomes"] == {"counting": "Cached", "shouting": "Completed", "joining": "Completed"}


def test_functions_behind_a_code_digest_are_listed_once(fake):
    fake.run()
    fake.run("--set", "counting.steps=2")
    assert len(list((fake.folder() / "history" / "code").iterdir())) == 3
    fake.edit("common.py", 'f"<{text}>"', 'f"[{text}]"')
    fake.run("--set", "counting.steps=2")
    assert len(list((fake.folder() / "history" / "code").iterdir())) == 6
    code, out, _ = fake.cli("diff", "demo@2", "demo@3")
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert lines.count("changed fake_stages.common: decorate") == 3
    assert "= counting" not in out and "~ counting  same to the byte" in out and "~ joining   0 of 2" not in out
    (fake.folder() / "history" / "code" / f"{record_code(fake, 'joining')}.json").unlink()
    assert "(the functions of one version were not recorded)" in fake.cli("diff", "demo@2", "demo@3")[1]


def record_code(fake, stage):
    import yaml

    return yaml.safe_load((fake.folder() / "code.yaml").read_text())[stage]


def test_git_revision_is_recorded(fake):
    git(fake, "init", "-q")
    git(fake, "add", ".dvcignore")
    git(fake, "commit", "-qm", "one")
    fake.run()
    assert record(fake, 1)["git"] == {"revision": git(fake, "rev-parse", "HEAD").strip(), "dirty": False}


def test_log(fake):
    fake.run()
    fake.run("--set", "counting.steps=2")
    fake.run()
    code, out, err = fake.cli("log", "demo")
    lines = out.splitlines()
    assert (code, err) == (0, "") and lines[0] == "demo: 3 versions"
    assert lines[1].startswith("@3  ") and "from the cache: all stages" in lines[1] and lines[1].endswith("<- now")
    assert out.count("<- now") == 1  # though the first version is the same
    assert lines[2].strip() == "counting.steps: 2 -> 3" and lines[3].strip() == "drawn 2 -> 3"
    assert "made all stages in" in out and "first version" in out
    values = json.loads(fake.cli("log", "demo", "--json")[1])
    assert [v["version"] for v in values] == [1, 2, 3] and values[1]["changes"] == ["counting.steps: 3 -> 2"]


@pytest.mark.slow
def test_versions_of_old_have_no_record(fake):
    fake.run()
    fake.run("--set", "counting.steps=2")
    (fake.folder() / "history" / "0001.json").unlink()
    (fake.folder() / "history" / "0002.json").write_text("{")
    assert fake.cli("log", "demo")[1].count("its record is not here; see: prior3d diff") == 2
    out = fake.cli("diff", "demo@1", "demo")[1]
    assert "steps: 3 -> 2" in out and "drawn: 3 -> 2 (worse)" in out  # read from the cache


def test_diff(fake):
    fake.run()
    fake.run("--set", "shouting.exclamation_marks=2")
    code, out, err = fake.cli("diff", "demo@1", "demo@2")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "demo@1 -> demo@2  (counting-method)"
    assert "= counting  same to the byte" in out and "~ shouting  1 of 2 files the same to the byte" in out
    assert "exclamation_marks: 1 -> 2" in out and "files: shouting/text.txt (changed)" in out
    values = json.loads(fake.cli("diff", "demo@1", "demo@2", "--json")[1])
    assert values["stages"]["counting"]["state"] == "same" and values["stages"]["counting"]["byte_identical"] is True
    assert values["stages"]["shouting"]["parameters"] == {"exclamation_marks": {"old": 1, "new": 2}}
    assert values["stages"]["joining"]["files"] == {"joining/metrics.json": "same", "joining/text.txt": "changed"}


@pytest.mark.slow
def test_diff_of_two_runs_and_of_git_revisions(fake):
    git(fake, "init", "-q")
    fake.run()
    git(fake, "add", "-A")
    git(fake, "commit", "-qm", "one")
    git(fake, "tag", "first")
    fake.run("--set", "counting.steps=2")
    fake.run(name="other", prompt="three")
    assert "steps: 3 -> 2" in fake.cli("diff", "demo@first", "demo")[1]
    assert "input prompt: one two -> three" in fake.cli("diff", "demo@first", "other")[1]
    assert "input" not in fake.cli("diff", "demo@1", "demo@2")[1]
    code, _, err = fake.cli("diff", "demo@frist", "demo")
    assert code == 2 and "did you mean demo@first?" in err and "its versions: 1 to 2" in err


def test_wrong_names(fake):
    def refused(said, *words):
        code, _, err = fake.cli(*words)
        assert code == 2 and said in err and len(err.splitlines()) == 1, err

    fake.run()
    refused("there is no run 'demi' in", "log", "demi")
    refused("did you mean 'demo'?", "diff", "demi@1", "demo")
    refused("run demo has no version 7; its one version: 1", "diff", "demo@7", "demo")
    for command in ("log", "status", "plan", "accept", "watch"):
        refused("'@' stands before a version; here the run alone is named: demo", command, "demo@1")
    refused("demo@HEAD: neither a version nor a git revision that holds data/runs/demo/dvc.lock", "diff", "demo@HEAD",
            "demo")  # fmt: skip
    refused("demo@--exec=x: neither a version", "diff", "demo@--exec=x", "demo")
    (fake.folder() / "history" / "0001.lock").write_text("schema: '2.0'\nstages: [")
    refused("history/0001.lock is damaged: it is not a DVC lock", "diff", "demo@1", "demo")
    refused("history/0001.lock is damaged", "restore", "demo@1")
    assert fake.cli("log", "demo")[0] == 0


@pytest.mark.slow
def test_runs_of_different_methods_are_not_compared_line_by_line(fake, monkeypatch):
    from dataclasses import replace

    from flows import methods

    fake.run()
    other = replace(methods.METHODS["counting-method"], name="another")
    monkeypatch.setitem(methods.METHODS, "another", other)
    fake.cli("run", "another", "--prompt", "x", "--name", "second", "--prior", str(fake.prior))
    code, _, err = fake.cli("diff", "demo", "second")
    assert code == 2 and len(err.splitlines()) == 1
    assert "demo is a run of counting-method, second one of another" in err and "prior3d compare demo second" in err


def test_changes_of_locks():
    def lock(steps, code, prompt):
        params = {"params.yaml": {"a": {"steps": steps, "inner": {"x": 1}}}, "code.yaml": {"a": code}}
        return {"a": {"params": params, "deps": [{"path": "in.txt", "md5": prompt}]}}

    assert lock_changes(lock(1, "c", "p"), lock(1, "c", "p")) == []
    new = lock(2, "d", "q") | {"b": {}}
    assert lock_changes(lock(1, "c", "p"), new) == ["a.steps: 1 -> 2", "a: code", "b: new", "input in.txt"]
    assert parameter_changes({"x": {"y": 1}}, {"x": {"y": 2, "z": 3}}) == [("x.y", 1, 2), ("x.z", "(none)", 3)]


def test_functions_of_a_digest_are_listed_once_in_a_project(fake, monkeypatch):
    from flows.engine import record

    fake.run()
    first = {p.name: p.read_bytes() for p in (fake.folder() / "history" / "code").iterdir()}
    kept = fake.project / ".prior3d" / "code"
    assert sorted(p.name for p in kept.iterdir()) == sorted(first)

    def parsed(module):
        raise AssertionError(f"{module} was parsed again")

    with monkeypatch.context() as patched:
        patched.setattr(record, "functions", parsed)
        assert fake.run(name="second")[0] == 0
    for place in kept.iterdir():
        place.write_text('{"a": 1}')
    assert fake.run(name="third")[0] == 0
    for name in ("second", "third"):
        assert {p.name: p.read_bytes() for p in (fake.folder(name) / "history" / "code").iterdir()} == first
