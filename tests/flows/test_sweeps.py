"""Sweeps: rows of a file become runs; again, only what failed or is missing; what is shared is computed once."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

ROWS = "name,prompt,counting.steps\nred,a red mug,2\nblue,a blue mug,3\ngreen,a red mug,2\n"


@pytest.fixture
def sweep(fake, monkeypatch):
    """`sweep(text, ...)` writes `mugs.csv` and sweeps it with the fake method."""
    from flows.sweeps import running

    monkeypatch.setattr(running, "COMMAND", (sys.executable, str(fake.code / "fake_prior3d.py")))
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).resolve().parents[2]}{os.pathsep}{fake.code}")

    def run(text, *words, name="mugs.csv", method=True):
        path = fake.project / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        common = ("--method", "counting-method") if method else ()
        return fake.cli("sweep", str(path), *common, *words)

    run.fake = fake
    return run


def with_prior(fake, text):
    """A CSV with the fake prior in each row."""
    head, *rows = text.splitlines()
    return "\n".join([f"{head},prior", *(f"{row},{fake.prior}" for row in rows)]) + "\n"


def test_rows_become_runs_and_only_the_rest_runs_again(sweep):
    fake = sweep.fake
    text = with_prior(fake, ROWS)
    code, out, err = sweep(text, "--plan")
    assert (code, err) == (0, "") and "3 runs, 0 done, 3 to make" in out and not fake.folder("red").exists()
    code, out, err = sweep(text, "--on", "local:3", "--set", "counting.pause_s=0.2")
    assert (code, err) == (0, ""), out + err
    assert fake.text("joining", "blue").count("a blue mug") and "3 runs, 0 done, 3 to make" in out
    logs = {n: (fake.project / ".prior3d" / "sweeps" / "mugs" / f"{n}.log").read_text() for n in ("red", "green")}
    made = [fake.outcomes(log)["counting"] for log in logs.values()]
    assert sorted(made) == ["Completed", "Restored"], made  # the same stage, asked for at the same time
    page = (fake.project / ".prior3d" / "pages" / "sweep-mugs.html").read_text()
    assert str(fake.project / ".prior3d" / "pages" / "sweep-mugs.html") in out
    assert "3 of 3 runs are done" in page and "a blue mug" in page and '<b class="best">3</b>' in page
    code, out, _ = sweep(text, "--set", "counting.pause_s=0.2")
    assert code == 0 and "3 runs, 3 done, 0 to make" in out and "begins" not in out
    code, out, _ = sweep(text.rstrip() + f"\nmore,a mug,2,{fake.prior}\n", "--set", "counting.pause_s=0.2")
    assert code == 0 and "4 runs, 3 done, 1 to make" in out and "more: done" in out and "red: begins" not in out
    shutil.rmtree(fake.folder("blue") / "history")  # as after a kill between the last stage and the version
    code, out, _ = sweep(text, "--set", "counting.pause_s=0.2")
    assert (
        code == 0 and "3 runs, 2 done, 1 to make" in out and (fake.folder("blue") / "history" / "0001.lock").is_file()
    )


def test_a_failed_row_leaves_the_others_and_runs_again(sweep):
    fake = sweep.fake
    text = with_prior(fake, "name,prompt,counting.fail\ngood,a mug,\nbad,a cup,user\nworse,a bowl,crash\n")
    code, out, _ = sweep(text)
    assert code == 2 and "good: done" in out and "bad: failed: stage counting: the count came to nothing" in out
    page = (fake.project / ".prior3d" / "pages" / "sweep-mugs.html").read_text()
    assert "1 of 3 runs are done" in page and "the count came to nothing" in page
    assert "what counting printed last" in page and "ValueError: something unforeseen" in page
    code, out, _ = sweep(text.replace("user", "").replace("crash", ""))
    assert code == 0 and "3 runs, 1 done, 2 to make" in out and "good: begins" not in out and "bad: done" in out


def test_grids_json_lines_and_names_by_content(sweep):
    fake = sweep.fake
    grid = (
        "method: counting-method\nrows:\n- prompt: a red mug\n- prompt: a blue mug\n"
        f"grid:\n  counting.steps: [2, 3]\n  prior: ['{fake.prior}']\n"
    )
    code, out, err = sweep(grid, "--plan", name="g.yaml", method=False)
    assert (code, err) == (0, "") and "4 runs" in out and out.count("g-a-red-mug-") == 2
    names = {line.split()[0] for line in out.splitlines() if line.startswith("g-")}
    moved = grid.replace("- prompt: a red mug\n- prompt: a blue mug", "- prompt: a blue mug\n- prompt: a red mug")
    out = sweep(moved, "--plan", name="g.yaml", method=False)[1]
    assert {line.split()[0] for line in out.splitlines() if line.startswith("g-")} == names
    rows = [{"prompt": "x", "counting": {"steps": 4}}, {"prompt": "y", "echoing": True}]
    rows = [row | {"prior": str(fake.prior)} for row in rows]
    code, out, err = sweep("\n".join(map(json.dumps, rows)), "--plan", name="r.jsonl")
    assert (code, err) == (0, "") and "counting.steps=4" in out and "echoing=True" in out


def test_paths_are_relative_to_the_file(sweep):
    fake = sweep.fake
    (fake.project / "mine").symlink_to(fake.prior)
    code, _, err = sweep("prompt,prior\na mug,mine\n", "--plan")
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("prompt,stepps\na,1\n", (), "line 2: column 'stepps' is no input and no parameter of counting-method; "),
        ("promt\na\n", (), "did you mean 'prompt'?"),
        ("prompt,counting.stepps\na,1\n", (), "did you mean counting.steps?"),
        ("prompt,counting.steps\na,-1\n", (), "line 2: counting.steps: input should be greater than or equal to 1"),
        ("name,prompt\nx,a\nx,b\n", (), "line 3: two rows are called 'x'; the other is "),
        ("prompt\na\na\n", (), "line 3: two rows ask for the same"),
        ("prompt,prompt\na,b\n", (), "two columns are called 'prompt'"),
        ("prompt,\na,b\n", (), "column 2 has no name"),
        ("prompt,seed\na\n", (), "line 2: 1 values, but the head has 2"),
        ('prompt\n"a\n', (), "it is no CSV"),
        ("", (), "it is empty"),
        ("prompt\n", (), "it holds no row"),
        ("prompt\nm\xfcg\n".encode() + "m\xfcg\n".encode("latin-1"), (), "line 3: byte 0xfc is not UTF-8"),
        ("prompt\na\n".encode("utf-16"), (), "it is UTF-16; save it as UTF-8"),
        ("prompt\na\n", ("--on", "local:0"), "write local, or local:N"),
        ("prompt\na\n", ("--on", "moon"), "write local:N, dask, dask:ADDRESS, ray, ray:ADDRESS or prefect"),
        ("prompt\na\n", ("--on", "loca:2"), "did you mean 'local'?"),
        ("prompt\na\n", ("--on", "dask:"), "write local:N, dask, dask:ADDRESS"),
        ("name,prompt\na b,x\n", (), "run name 'a b'"),
        ("prompt,image\nx,y.png\n", (), "column 'image' is no input"),
    ],
)
def test_bad_files_are_one_line(sweep, text, words, expected):
    code, out, err = sweep(text, *words, "--set", "counting.steps=2")
    assert (code, out) == (2, "") and expected in err and len(err.splitlines()) == 1, err


def test_bad_yaml_json_and_endings_are_one_line(sweep):
    for name, text, expected in (
        ("a.txt", "x", "its ending is '.txt'"),
        ("a.yaml", "rows: [1]", "`rows` has to be a list of mappings"),
        ("a.yaml", "rowz: []", "'rowz' is none of rows, grid, method"),
        ("a.yaml", "grid: {seed: 1}", "`grid` has to be a mapping of columns to lists"),
        ("a.yaml", "rows: [{seed: 1}]\ngrid: {seed: [1]}", "'seed' stands in `rows` and in `grid`"),
        ("a.yaml", "a: [", "it is not valid YAML"),
        ("a.jsonl", '{"prompt": 1}\n[1]\n', "line 2: it is no JSON object"),
    ):
        code, _, err = sweep(text, name=name)
        assert code == 2 and expected in err and len(err.splitlines()) == 1, err
    code, _, err = sweep("prompt\na\n", method=False)
    assert code == 2 and "line 2: no method; give --method, or a column `method`" in err


@pytest.mark.slow
def test_a_stopped_sweep_leaves_no_run_behind_and_goes_on(sweep):
    import subprocess

    fake = sweep.fake
    path = fake.project / "s.csv"
    path.write_text(with_prior(fake, "name,prompt,counting.steps,counting.pause_s\none,a,20,0.3\ntwo,b,2,0\n"))
    line = [sys.executable, str(fake.code / "fake_prior3d.py"), "sweep", str(path), "--method", "counting-method"]
    code = "import sys; from flows.sweeps import running; running.COMMAND = (sys.executable, sys.argv[1]); "
    code += "sys.argv = sys.argv[1:]; import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    process = subprocess.Popen([sys.executable, "-c", code, *line[1:]], cwd=fake.project)
    work = fake.folder("one") / ".work" / "counting"
    until = time.monotonic() + 60
    while not list(work.glob("*/state.json")) and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    code, out, _ = fake.cli("sweep", str(path), "--method", "counting-method")
    assert code == 0 and "2 runs, 0 done, 2 to make" in out
    assert "resumed at" in (fake.project / ".prior3d" / "sweeps" / "s" / "one.log").read_text()
