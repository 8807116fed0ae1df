"""Whatever lies in the place of a run's small files: each command ends well or with one line; `ls` shows the others."""

import shutil

import pytest

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
