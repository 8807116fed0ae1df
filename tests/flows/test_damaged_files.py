"""Whatever lies in the place of a run's small files: each command ends well or with one line; `ls` shows the others."""

import copy
import json
import shutil

import pytest
import yaml

from flows.engine.run_files import Damaged, LockEntry, derived, has_form, read_form, read_lock
from prior3d.files import write_whole

FILES = ["method.yaml", "params.yaml", "code.yaml", "dvc.yaml", "local.yaml", "dvc.lock", ".gitignore",
         "history/0002.lock", "history/0002.json", "history/0001.lock", "history/9x.lock", "counting.cost.json",
         "counting/metrics.json", "losses/counting.json", "inputs/prompt.txt", "inputs/prior.json",
         "history", "losses", "inputs", ".work"]  # fmt: skip
NESTED = b"[" * 3000 + b"]" * 3000
BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]\n" for n in range(10)).encode()
CONTENTS = {
    "binary": b"\xff\xfe\x81x",
    "zeroes": bytes(200),
    "empty": b"",
    "list": b"[1]",
    "number": b"3",
    "text": b"no: [such",
    "nested": NESTED,
    "aliases": BOMB,
    "other form": b'{"stages": {"counting": {"outs": 3}}, "method": 1, "inputs": {"prompt": []}, "counting": [1]}',
}
COMMANDS = [["status", "demo"], ["ls"], ["log", "demo"], ["restore", "demo@1"], ["diff", "demo@1", "demo"],
            ["open", "demo", "--no-browser"], ["gallery", "--no-browser"]]  # fmt: skip


def replace(path, content):
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if content is None else path.write_bytes(content)


def made_twice(fake):
    assert fake.run(name="other")[0] == 0
    for seed in ("0", "1"):
        assert fake.run("--seed", seed)[0] == 0
    whole = fake.project.parent / "whole"
    shutil.copytree(fake.folder(), whole)
    return whole


def check(fake, words, what):
    code, out, err = fake.run("--seed", "1") if words == ["run"] else fake.cli(*words, plain=False)
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    others = [line for line in err.splitlines() if not line.startswith(("error:", "warning:", "to resume:"))]
    assert code in (0, 2) and len(errors) == (code == 2) and not others, (what, words, err)
    assert all(len(line) < 700 for line in err.splitlines()), (what, words, err)
    if words == ["ls"]:
        assert code == 0 and "other" in out, (what, out)
    return code


@pytest.mark.parametrize("content", ["{}", "elsewhere: {seed: 1}", "counting: {steps: 3}"])
def test_parameters_of_other_stages(fake, content):
    """Also the smallest input that fuzzing found: a file of the right form, with sections of another method."""
    assert fake.run(name="other")[0] == fake.run()[0] == 0
    for words in (*COMMANDS, ["run", "demo"], ["plan", "demo"], ["accept", "demo"]):
        (fake.folder() / "params.yaml").write_text(content)
        check(fake, words, content)
    (fake.folder() / "params.yaml").write_text("elsewhere: {seed: 1}")
    code, _, err = fake.cli("run", "demo")
    assert code == 2 and "sets elsewhere, and counting-method has no such stage; give the whole command again" in err
    assert fake.run()[0] == 0 and fake.cli("run", "demo")[0] == 0


def test_each_file_damaged_in_one_way(fake):
    """The short form of the test below: the damages and the commands take turns over the files."""
    whole = made_twice(fake)
    contents = [*CONTENTS.items(), ("folder", None)]
    for index, file in enumerate(FILES):
        name, content = contents[(3 * index) % len(contents)]
        for words in (COMMANDS[index % len(COMMANDS)], ["run"]):
            replace(fake.folder() / file, content)
            code = check(fake, words, (file, name))
        if code:
            shutil.rmtree(fake.folder())
            shutil.copytree(whole, fake.folder())


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_each_command_takes_it_or_says_so_in_one_line(fake, file):
    """All damages of one file; the commands take turns, and the one that makes the run sees each of them."""
    whole = made_twice(fake)
    for index, (name, content) in enumerate([*CONTENTS.items(), ("folder", None)]):
        for words in (COMMANDS[index % 7], COMMANDS[(3 * index + 1) % 7], ["run"]):
            shutil.rmtree(fake.folder())
            shutil.copytree(whole, fake.folder())
            replace(fake.folder() / file, content)
            code = check(fake, words, (file, name))
        if code == 0:  # run: it is mended
            check(fake, ["run"], (file, name))
            assert fake.cli("ls")[1].count("3/3") == 2


@pytest.mark.parametrize(
    ("value", "form", "whole"),
    [
        ({"a": 1}, dict[str, float], True),
        ({"a": True}, dict[str, float], False),
        ({"a": 10**400}, dict[str, float], False),
        ({1: 1}, dict[str, float], False),
        ([1, 2.5], list[float], True),
        ([1, 2.5], list[int], False),
        ({"outs": [{"path": "a"}]}, LockEntry, True),
        ({"outs": [{"md5": "a"}]}, LockEntry, False),
        ({"outs": None}, LockEntry, False),
        ({"more": 1}, LockEntry, True),
        (None, str | None, True),
        (3, str | None, False),
    ],
)
def test_forms(value, form, whole):
    assert has_form(value, form) == whole


def test_what_is_said(tmp_path):
    file = tmp_path / "mug" / "params.yaml"
    file.parent.mkdir()
    for content, said in (
        (None, "run mug: params.yaml is missing; give the run command again"),
        (b"\xff", "run mug: params.yaml is not UTF-8 text; delete it and give the run command again"),
        (b"[1]", "run mug: params.yaml holds no mapping; delete it"),
        (b"a: [", "run mug: params.yaml is not valid YAML (while parsing"),
        (b"a: 3", "run mug: params.yaml has another form than it must have; delete it"),
    ):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(Damaged) as caught:
            read_form(file, dict[str, dict[str, int]])
        assert str(caught.value).startswith(said) and "\n" not in str(caught.value)
    with pytest.raises(Damaged, match="run mug: params.yaml is damaged: it is not a DVC lock"):
        read_lock(file)
    assert read_lock(file.with_name("dvc.lock")) == {}
    assert derived(file, dict[str, int]) is None and derived(file.parent, dict[str, int]) is None


def without_each_entry(content, depth=3):
    """The same mapping without one of its entries, and that for each, in mappings and lists inside it too."""
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else []
    for key in keys if depth else ():
        less = copy.deepcopy(content)
        del less[key]
        yield str(key), less
        for inner, part in without_each_entry(content[key], depth - 1):
            changed = copy.deepcopy(content)
            changed[key] = part
            yield f"{key}.{inner}", changed


@pytest.mark.parametrize("file", ["method.yaml", "params.yaml", "code.yaml", "dvc.yaml", "dvc.lock", "local.yaml",
                                  "history/0002.lock", "history/0002.json", "counting.cost.json"])  # fmt: skip
def test_each_file_without_one_of_its_entries(fake, file):
    """A file of the right form that lacks something: an earlier version wrote it, or a merge lost a part."""
    whole = made_twice(fake)
    read, write = (json.loads, json.dumps) if file.endswith(".json") else (yaml.safe_load, yaml.safe_dump)
    content, tried = read((whole / file).read_text()), 0
    for tried, (missing, less) in enumerate(without_each_entry(content), 1):
        shutil.rmtree(fake.folder())
        shutil.copytree(whole, fake.folder())
        (fake.folder() / file).write_text(write(less))
        check(fake, COMMANDS[tried % len(COMMANDS)], (file, missing))
        check(fake, ["status", "demo"], (file, missing))
    assert tried > 1


@pytest.mark.parametrize("md5", ["../../../etc/passwd", "/etc/passwd", "0" * 31, "0" * 32 + ".dir/..", "G" * 32])
def test_an_md5_that_is_a_path(tmp_path, md5):
    (tmp_path / "dvc.lock").write_text(f"stages: {{a: {{outs: [{{path: a, md5: '{md5}'}}]}}}}")
    with pytest.raises(Damaged, match="is damaged"):
        read_lock(tmp_path / "dvc.lock")


def test_a_method_file_that_names_a_file_outside(fake):
    assert fake.run()[0] == 0
    method = fake.folder() / "method.yaml"
    method.write_text(method.read_text().replace("inputs/prompt.txt", "../../../secret.txt"))
    (fake.project / "secret.txt").write_text("secret")
    for words in (["status", "demo"], ["plan", "demo"], ["accept", "demo"]):
        code, out, err = fake.cli(*words)
        assert code == 2 and "method.yaml names '../../../secret.txt', which lies outside the run" in err
        assert "secret" not in out


def test_the_newest_lock_that_a_power_cut_emptied(fake):
    assert fake.run()[0] == 0
    (fake.folder() / "history" / "0001.lock").write_text("")
    code, out, err = fake.run("--seed", "1")
    assert code == 0 and "warning: version 1 of run demo is damaged (0001.lock is no lock)" in err
    code, _, err = fake.run("--seed", "1")
    assert (code, err) == (0, "")
    assert fake.cli("restore", "demo@2")[0] == 0
    code, _, err = fake.cli("restore", "demo@1")
    assert code == 2 and "is damaged: it is not a DVC lock" in err


def test_a_record_that_a_kill_left_out(fake, monkeypatch):
    """Killed at any write of a version, the next command writes what is missing, with the reasons of the first."""
    from flows.engine import record, run

    class Killed(BaseException):
        pass

    def killed_at(number):
        def write(path, content, left=[number]):  # noqa: B006
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            write_whole(path, content)

        return write

    for at in range(1, 9):
        write = killed_at(at)
        with monkeypatch.context() as patched:
            for module in (record, run):
                patched.setattr(module, "write_whole", write)
            try:
                fake.run("--seed", str(at))
            except Killed:
                pass
            else:
                break
        assert fake.run("--seed", str(at))[0] == 0
        history = fake.folder() / "history"
        assert [p.stem for p in sorted(history.glob("*.lock"))] == [p.stem for p in sorted(history.glob("*.json"))]
        assert "its record is not here" not in fake.cli("log", "demo")[1]
    assert at > 2
    newest = sorted(history.glob("*.json"))[-1]
    before = json.loads(newest.read_text())
    newest.unlink()
    assert fake.run("--seed", str(at))[0] == 0
    after = json.loads(newest.read_text())
    assert after["metrics"] == before["metrics"] and after["cost"] == before["cost"]
    assert after["changes"] == before["changes"] and after["packages"] == before["packages"]
