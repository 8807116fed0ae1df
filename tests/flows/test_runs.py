"""Whole runs of the fake method: what is made, kept, restored, and why."""

import fcntl
import io
import json
import re

import pytest
import yaml

ALL = ("counting", "shouting", "joining")


def test_cold_then_cached(fake):
    code, out, err = fake.run()
    assert (code, err) == (0, "")
    assert fake.outcomes(out) == dict.fromkeys(ALL, "Completed")
    assert fake.text("joining").splitlines()[0].startswith("<one two ")
    code, out, err = fake.run()
    assert code == 0 and "nothing to do" in out
    assert all(f"{s}" in out and "unchanged" in out for s in ALL)
    assert [p.name for p in sorted((fake.folder() / "history").iterdir())] == [
        "0001.json",
        "0001.lock",
        "SHA256SUMS",
        "code",
    ]
    assert not (fake.folder() / ".work" / "counting").exists()


def test_the_folder_of_a_run(fake):
    fake.run("--seed", "5", "--set", "counting.steps=2")
    params = yaml.safe_load((fake.folder() / "params.yaml").read_text())
    assert params["counting"] == {"seed": 5, "steps": 2, "pause_s": 0.0, "fail": ""}
    assert params["joining"] == {"seed": 5}
    method = yaml.safe_load((fake.folder() / "method.yaml").read_text())
    assert method["method"] == "counting-method" and method["inputs"]["prompt"]["text"] == "one two"
    assert (fake.folder() / "inputs" / "prompt.txt").read_text() == "one two\n"
    metrics = (fake.folder() / "counting" / "metrics.json").read_text()
    assert '"drawn"' in metrics and "seconds" not in metrics
    assert "seconds" in (fake.folder() / "counting.cost.json").read_text()


def test_changed_parameter_reruns_that_stage_and_those_behind_it(fake):
    fake.run()
    code, out, _ = fake.run("--set", "shouting.exclamation_marks=2")
    assert code == 0
    assert "exclamation_marks: 1 -> 2" in out
    assert fake.outcomes(out) == {"counting": "Cached", "shouting": "Completed", "joining": "Completed"}
    assert fake.text("shouting").strip().endswith("!!")
    code, out, _ = fake.run()  # back to the old value: from the cache, though this run holds another result now
    assert fake.outcomes(out) == {"counting": "Cached", "shouting": "Restored", "joining": "Restored"}
    assert fake.text("shouting").strip().endswith("!") and not fake.text("shouting").strip().endswith("!!")
    assert len(list((fake.folder() / "history").glob("*.lock"))) == 3


def test_the_same_work_under_another_name_is_restored(fake):
    fake.run()
    _, out, _ = fake.run(name="other")
    assert fake.outcomes(out) == dict.fromkeys(ALL, "Restored")
    assert fake.text("joining") == fake.text("joining", "other")


def test_no_restore_computes_what_the_cache_holds(fake):
    fake.run()
    _, out, _ = fake.run("--no-restore")
    assert fake.outcomes(out) == dict.fromkeys(ALL, "Completed")


def test_comment_changes_nothing_code_changes_its_stage_only(fake):
    fake.run()
    fake.edit("shouting/stage.py", "    text = (job", "    # a remark\n    text = (job")
    fake.edit("shouting/__init__.py", '"""Writes the counted text in capitals."""', '"""Writes it in capitals."""')
    assert "nothing to do" in fake.run()[1]
    fake.edit("shouting/stage.py", "text.upper()", "text.upper().strip()")  # other code, same output
    _, out, _ = fake.run()
    assert "code changed" in out
    assert fake.outcomes(out) == {"counting": "Cached", "shouting": "Completed", "joining": "Cached"}


def test_imports_inside_functions_count_as_code(fake):
    fake.run()
    fake.edit("common.py", 'f"<{text}>"', 'f"[{text}]"')  # common is imported by all three
    _, out, _ = fake.run()
    assert fake.outcomes(out) == {"counting": "Completed", "shouting": "Completed", "joining": "Completed"}
    assert fake.text("joining").startswith("[")


def test_stop_after(fake):
    code, out, _ = fake.run("--stop-after", "shouting")
    assert code == 0 and fake.outcomes(out) == {"counting": "Completed", "shouting": "Completed"}
    assert not (fake.folder() / "joining").exists()
    assert fake.outcomes(fake.run()[1]) == {"counting": "Cached", "shouting": "Cached", "joining": "Completed"}


def test_missing_and_edited_outputs_are_put_back(fake):
    fake.run()
    right = fake.text("counting")
    (fake.folder() / "counting" / "text.txt").write_text("something else\n")
    _, out, _ = fake.run()
    assert "output counting is modified" in out and fake.outcomes(out)["counting"] == "Restored"
    assert fake.text("counting") == right


def test_changed_prior_is_a_changed_input(fake):
    fake.run()
    weights = fake.prior / "unet" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    _, out, _ = fake.run()
    assert "input inputs/prior.json changed" in out and fake.outcomes(out)["counting"] == "Completed"


def test_plan_writes_nothing_and_says_why(fake):
    code, out, _ = fake.cli("plan", "counting-method", "--prompt", "x", "--prior", str(fake.prior))
    assert code == 0 and out.count("to make    new") == 3
    assert list((fake.project / "data" / "runs").iterdir()) == []
    fake.run()
    assert fake.cli("plan", "demo")[1].count("unchanged") == 3
    before = {p: p.stat().st_mtime_ns for p in fake.folder().iterdir() if p.is_file()}
    _, out, _ = fake.cli("plan", "counting-method", "--prompt", "other", "--name", "demo", "--prior", str(fake.prior))
    assert "input inputs/prompt.txt changed" in out and "perhaps    if the output of counting changes" in out
    assert before == {p: p.stat().st_mtime_ns for p in fake.folder().iterdir() if p.is_file()}


def test_accept_keeps_outputs_and_records_the_code(fake):
    fake.run()
    fake.edit("counting/stage.py", "higher_is_better=True", "higher_is_better=False")
    assert "code changed" in fake.cli("plan", "demo")[1]
    code, out, _ = fake.cli("accept", "demo")
    assert code == 0 and "accepted: counting" in out
    assert fake.cli("plan", "demo")[1].count("unchanged") == 3


def test_presets(fake):
    fake.run("--preset", "paper")
    assert yaml.safe_load((fake.folder() / "params.yaml").read_text())["counting"]["steps"] == 7


def test_looking_at_runs(fake):
    fake.run()
    assert re.search(
        r"demo  counting-method  3/3     1         20\d\d-\d\d-\d\d \d\d:\d\d  .* s +one two", fake.cli("ls")[1]
    )
    out = fake.cli("status", "demo")[1]
    assert "drawn" in out and "peak memory mb" in out and out.count("unchanged") == 3
    (listed,) = json.loads(fake.cli("ls", "--json")[1])
    assert (listed["run"], listed["n_made"], listed["n_stages"], listed["asked_for"]) == ("demo", 3, 3, "one two")
    assert listed["seconds"] >= 0 and listed["when"].startswith("20")


def test_a_run_is_removed_with_its_versions_if_one_says_so(fake, monkeypatch):
    fake.run()
    fake.run(name="other")
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    code, out, _ = fake.cli("rm", "demo")
    assert code == 0 and "demo: 1 version, " in out and "nothing was removed" in out and fake.folder().is_dir()
    code, out, _ = fake.cli("rm", "demo", "--yes")
    assert code == 0 and not fake.folder().exists() and fake.folder("other").is_dir()
    assert "removed demo; what it made stays in DVC's cache until: prior3d gc" in out
    assert fake.outcomes(fake.run()[1]) == {"counting": "Restored", "shouting": "Restored", "joining": "Restored"}
    for name in ("demi", "../runs/demo"):
        code, _, err = fake.cli("rm", "demo", name, "--yes")
        assert code == 2 and len(err.splitlines()) == 1 and fake.folder().is_dir()


def test_a_run_that_is_being_made_is_not_removed(fake):
    fake.run()
    with (fake.folder() / ".work" / "run.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        code, _, err = fake.cli("rm", "demo", "--yes")
    assert code == 2 and "another prior3d process works on it" in err and fake.folder().is_dir()
    assert "exclamation_marks = 1 (at least 0, at most 9)" in fake.cli("run", "counting-method", "--help")[1]
    assert "steps = 3 steps (at least 1, at most 10000)" in fake.cli("stage", "counting")[1]


@pytest.mark.parametrize("broken", ["", "schema: '2.0'\nstages: {coun", "[]"])
def test_a_lock_file_that_a_kill_broke_is_healed(fake, broken):
    fake.run()
    (fake.folder() / "dvc.lock").write_text(broken)
    (fake.project / ".dvc" / "tmp" / "rwlock").write_text("")
    code, out, _ = fake.run()
    assert code == 0 and fake.outcomes(out) == dict.fromkeys(ALL, "Restored")


def test_an_optional_stage_is_there_only_if_asked_for(fake):
    _, out, _ = fake.run()
    assert "echoing" not in out and not (fake.folder() / "echoing").exists()
    code, out, _ = fake.run("--set", "echoing=on", "--set", "echoing.exclamation_marks=3")
    assert code == 0 and fake.outcomes(out)["echoing"] == "Completed"
    assert fake.text("joining").strip().splitlines()[1].count("!") == 4  # of shouting and of echoing
    assert "nothing to do" in fake.run("--set", "echoing=on", "--set", "echoing.exclamation_marks=3")[1]
    assert "echoing   unchanged" in fake.cli("plan", "demo")[1]  # the run is known to have it
    code, out, _ = fake.run()  # and without it again
    assert code == 0 and not (fake.folder() / "echoing").exists() and not (fake.folder() / "echoing.cost.json").exists()
    assert "echoing" not in (fake.folder() / "dvc.lock").read_text()
    code, out, _ = fake.cli("restore", "demo@2")
    assert code == 0 and fake.text("echoing").count("!") == 4
    assert "nothing to do" in fake.run("--set", "echoing=on", "--set", "echoing.exclamation_marks=3")[1]


def test_what_cannot_be_switched(fake):
    for given, said in (
        ("counting=on", "has no optional stage 'counting'; those are: echoing"),
        ("echoin=on", "has no optional stage 'echoin'; did you mean echoing?"),
        ("echoing=perhaps", "write stage.parameter=value"),
        ("echoing.exclamation_marks=3", "has echoing only with --set echoing=on"),
    ):
        code, _, err = fake.run("--set", given)
        assert code == 2 and said in err and len(err.splitlines()) == 1, err
