"""What every stage shares, run in this process."""

import json
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml

from prior3d.diffusion.embedded import embedded_prior
from prior3d.errors import Prior3dError
from stages.contract.entry import execute
from stages.contract.job import Job, Stopped, work_digest
from stages.contract.parameters import check_params
from tests.breaking_off import stop_at

MODULE = "fake_stages.counting"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "prompt.txt").write_text("three\n")
    (tmp_path / "inputs" / "prior.json").write_text('{"name": "p", "digest": "d"}')
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"counting": {"steps": 3}}))
    return tmp_path


ARGV = ["--prompt", "inputs/prompt.txt", "--prior", "inputs/prior.json"]


def test_artifact_metrics_and_cost(folder, capsys):
    assert execute(MODULE, ARGV, folder) == 0
    assert (folder / "counting" / "text.txt").read_text().startswith("three ")
    metrics = json.loads((folder / "counting" / "metrics.json").read_text())
    assert metrics == {"drawn": {"value": 3.0, "unit": "", "n": 1, "higher_is_better": True}}
    cost = json.loads((folder / "counting.cost.json").read_text())
    assert cost["seconds"] >= 0 and cost["peak_memory_mb"] > 5
    events = [json.loads(line[2:]) for line in capsys.readouterr().out.splitlines() if line.startswith("@@")]
    assert events[-1] == {"step": 3, "total": 3, "loss": pytest.approx(1 / 3)}


def test_another_name_is_another_section_and_folder(folder):
    (folder / "params.yaml").write_text(yaml.safe_dump({"again": {"steps": 2}}))
    assert execute(MODULE, [*ARGV, "--name", "again"], folder) == 0
    assert (folder / "again" / "text.txt").is_file()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"counting": {"stepps": 3}}, "counting.stepps: there is no such parameter; did you mean counting.steps?"),
        ({"counting": {"steps": 0}}, "counting.steps: input should be greater than or equal to 1; found 0"),
        ({}, "params.yaml has no section 'counting'"),
        (None, "params.yaml is not there"),
    ],
)
def test_wrong_parameters(folder, capsys, params, said):
    if params is None:
        (folder / "params.yaml").unlink()
    else:
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
    assert execute(MODULE, ARGV, folder) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and len(error.splitlines()) == 1
    assert not (folder / "counting").exists()


def test_missing_and_broken_input(folder, capsys):
    (folder / "inputs" / "prompt.txt").write_text(" ")
    assert execute(MODULE, ARGV, folder) == 2
    assert "holds no text" in capsys.readouterr().err
    (folder / "inputs" / "prompt.txt").unlink()
    assert execute(MODULE, ARGV, folder) == 2
    assert "its input --prompt is not there" in capsys.readouterr().err


def test_old_output_stays_until_the_new_one_is_whole(folder):
    assert execute(MODULE, ARGV, folder) == 0
    before = (folder / "counting" / "text.txt").read_text()
    (folder / "params.yaml").write_text(yaml.safe_dump({"counting": {"steps": 3, "fail": "nothing"}}))
    assert execute(MODULE, ARGV, folder) == 2
    assert (folder / "counting" / "text.txt").read_text() == before


def test_exit_codes_of_crash_and_full_disk(folder, capsys):
    (folder / "params.yaml").write_text(yaml.safe_dump({"counting": {"fail": "crash"}}))
    assert execute(MODULE, ARGV, folder) == 1
    assert "ValueError: something unforeseen" in capsys.readouterr().err
    (folder / "params.yaml").write_text(yaml.safe_dump({"counting": {"fail": "disk"}}))
    assert execute(MODULE, ARGV, folder) == 2
    assert "error: the disk is full" in capsys.readouterr().err


def test_sigterm_saves_and_leaves(folder, monkeypatch, capsys):
    (folder / "params.yaml").write_text(yaml.safe_dump({"counting": {"steps": 500, "pause_s": 0.01}}))
    before = signal.getsignal(signal.SIGTERM)
    sent = time.monotonic() + 0.3

    def late(pause_s, sleep=time.sleep):
        sleep(pause_s)
        if time.monotonic() > sent:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(time, "sleep", late)
    assert execute(MODULE, ARGV, folder) == 143
    assert "error: stopped at its checkpoint" in capsys.readouterr().err
    assert not (folder / "counting").exists()
    assert list((folder / ".work" / "counting").glob("*/state.json"))
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_checkpoint_is_named_by_what_determines_the_result(folder):
    inputs = {"prompt": folder / "inputs" / "prompt.txt"}
    digest = work_digest({"steps": 1}, inputs, "code")
    assert digest == work_digest({"steps": 1}, inputs, "code")
    others = [work_digest({"steps": 2}, inputs, "code"), work_digest({"steps": 1}, inputs, "edoc")]
    inputs["prompt"].write_text("four\n")
    others.append(work_digest({"steps": 1}, inputs, "code"))
    assert digest not in others and len(set(others)) == 3


def test_job_prior_and_prompt(folder):
    inputs = {"prompt": folder / "inputs" / "prompt.txt", "prior": folder / "inputs" / "prior.json"}
    place = folder / "priors" / "p"
    job = Job("counting", folder, inputs, folder, settings={"priors": {"p": str(place)}})
    assert job.prompt == "three"
    with pytest.raises(Prior3dError, match="holds no model_index.json; put the prior back there"):
        job.prior()
    place.mkdir(parents=True)
    (place / "model_index.json").write_text("{}")
    assert job.prior() == place
    with pytest.raises(Prior3dError, match="it has no input named 'prompt'"):
        _ = Job("counting", folder, {}, folder).prompt
    with pytest.raises(Prior3dError, match="prior 'p' is not embedded in this installation"):
        embedded_prior("p")


def test_the_tests_that_break_stages_off_have_checkpoints_at_every_step(folder, monkeypatch):
    stop_at(monkeypatch, 3)
    assert Job("counting", folder, {}, folder).checkpoint_due()


def test_checkpoints_are_due_every_five_seconds_and_when_stopping(folder):
    job = Job("counting", folder, {}, folder)
    assert not job.checkpoint_due()
    job._last_checkpoint -= 5.0
    assert job.checkpoint_due() and not job.checkpoint_due()
    job.stopping = True
    assert job.checkpoint_due()
    assert Job("counting", folder, {}, folder).seconds() >= json.loads((folder / "elapsed.json").read_text())["seconds"]


def test_an_endless_number_in_the_note_of_losses_is_one_line(folder):
    losses = {"total": float("inf"), "last": 0, "sums": []}
    (folder / "elapsed.json").write_text(json.dumps({"seconds": 1.0, "losses": losses}))
    with pytest.raises(Prior3dError, match=r"elapsed.json is damaged \(OverflowError\)"):
        Job("counting", folder, {}, folder)


def test_progress_is_at_most_four_lines_a_second(folder, capsys):
    job = Job("counting", folder, {}, folder)
    for step in range(1000):
        job.progress(step, 1000)
    job.progress(1000, 1000, preview=folder / "counting" / "p.png", text="end")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 3
    assert json.loads(lines[-1][2:]) == {"step": 1000, "total": 1000, "preview": "counting/p.png", "text": "end"}


def test_stopped_is_no_error_for_people():
    assert not issubclass(Stopped, Prior3dError)


def test_check_params_names_every_problem():
    from fake_stages.counting import Params

    with pytest.raises(Prior3dError) as caught:
        check_params(Params, {"steps": 0, "nothing_like_it_at_all": 1}, "counting")
    assert "counting.steps" in str(caught.value) and "known: seed, steps, pause_s, fail" in str(caught.value)


def test_importing_entry_is_light():
    assert Path(sys.modules["stages.contract.entry"].__file__).is_file()
    import subprocess

    script = "import sys, stages.contract.entry; sys.stdout.write(' '.join(sys.modules))"
    root = Path(__file__).resolve().parents[2]
    loaded = subprocess.run([sys.executable, "-c", script], cwd=root, text=True, capture_output=True, check=True).stdout
    assert not {"torch", "numpy", "prefect", "dvc", "diffusers"} & set(loaded.split())
