"""Methods as Prefect flows: one typed signature made of the declaration; deployed, run, cancelled."""

import inspect
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.engine.parameters import resolve
from flows.flow_parameters import COMMON, description_of, parameters_of, signature_of
from flows.methods import METHODS
from flows.request import make_request
from tests.flows.clusters import SMALL


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_flow_takes_what_its_method_declares(method):
    signature = signature_of(method)
    assert list(signature.parameters) == [i.name for i in method.inputs] + list(COMMON)
    for declared in method.inputs:
        parameter = signature.parameters[declared.name]
        required = parameter.default is inspect.Parameter.empty
        assert required == (declared.default is None)
        assert parameter.annotation == (str if required or declared.default else str | None)
        assert f"    {declared.name}: {declared.help}" in description_of(method)


def test_the_flows_can_be_imported_by_name():
    from prefect.utilities.importtools import import_object

    from flows import as_flows

    for name, made in as_flows.FLOWS.items():
        assert made.name == name and made.parameters.required == [
            i.name for i in METHODS[name].inputs if i.default is None
        ]
        assert import_object(f"flows.as_flows.{made.fn.__name__}") is made
    assert as_flows.latent_nerf.parameters.properties["seed"]["anyOf"][0]["type"] == "integer"
    assert as_flows.latent_nerf.parameters.properties["preset"]["anyOf"][0]["enum"] == ["toy", "paper", "turbo"]


def test_the_values_of_a_run_are_what_would_make_it_again(fake):
    from flows.engine.project import find_project

    method = METHODS["counting-method"]
    words = ["--prompt=a mug", f"--prior={fake.prior}", "--seed=4", "--set=counting.steps=7", "--preset=toy"]
    os.chdir(fake.project)
    request = make_request(find_project(fake.project), method, [*words, "--name=demo"])
    values = parameters_of(request.declaration, "demo", "cpu")
    assert (values["prompt"], values["seed"], values["name"]) == ("a mug", 4, "demo")
    assert values["set"] == {"counting.steps": 7} and values["prior"] == "a_prior"
    signature_of(method).bind(**values)
    sets = [f"{name}={value}" for name, value in values["set"].items()]
    assert resolve(request.declaration.method, values["preset"], 4, sets) == request.declaration.params


def test_bad_deployments_are_one_line(fake):
    for words, expected in (
        (("deploy", "latent-nrf"), "did you mean 'latent-nerf'?"),
        (("deploy", "--limit", "0"), "a pool makes at least 1 run at once"),
    ):
        code, _, err = fake.cli(*words)
        assert code == 2 and expected in err and len(err.splitlines()) == 1, err


def waited(client, number, until_s, see=lambda: None):
    until = time.monotonic() + until_s
    while time.monotonic() < until:
        found = client.read_flow_run(number)
        if found.state is not None and found.state.is_final():
            return found
        see()
        time.sleep(0.5)
    raise AssertionError(f"not over after {until_s} s: {found.state}")


TRIED = """
import os, sys
from pathlib import Path
from flows.engine.project import find_project
from flows.engine.server import client_environment, find_or_start
project = find_project(Path.cwd())
os.environ.update(client_environment(project, find_or_start(project)))
from tests.flows.test_as_flows import deployed_run_and_cancelled
deployed_run_and_cancelled(project)
"""

SCHEDULED = """
import os, subprocess, sys
from pathlib import Path
from flows.engine.project import find_project
from flows.engine.server import client_environment, find_or_start
project = find_project(Path.cwd())
environment = os.environ | client_environment(project, find_or_start(project))
schedule = [sys.executable, "-m", "prefect", "deployment", "schedule"]
subprocess.run([*schedule, "create", "latent-nerf/prior3d", "--cron", "0 2 * * *"], env=environment, check=True)
subprocess.run([*schedule, "ls", "latent-nerf/prior3d"], env=environment, check=True)
"""


def deployed_run_and_cancelled(project):
    """In a process of its own, whose environment names the project's server before Prefect is imported."""
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelling

    small = {name: value == "true" if value in ("true", "false") else value for name, value in SMALL.items()}
    small["mesh_extraction.resolution"] = 24
    with get_client(sync_client=True) as client:
        place = client.read_deployment_by_name("latent-nerf/prior3d")
        given = {"prompt": "a red mug", "seed": 3, "name": "mug", "set": small}
        first = client.create_flow_run_from_deployment(place.id, parameters=given)
        over = waited(client, first.id, 900)
        assert over.state.is_completed() and over.name == "mug", over.state
        assert (over.parameters["prompt"], over.parameters["seed"]) == ("a red mug", 3)
        assert (project.runs / "mug" / "evaluation" / "report.html").is_file()
        long = given | {"name": "long", "set": small | {"coarse_nerf.steps": 100_000}}
        second, sent = client.create_flow_run_from_deployment(place.id, parameters=long), []

        def cancel():
            if not sent and list((project.runs / "long" / ".work" / "coarse_nerf").glob("*/checkpoint.safetensors")):
                sent.append(client.set_flow_run_state(second.id, Cancelling()))

        over = waited(client, second.id, 600, cancel)
        assert sent and over.state.is_cancelled(), over.state
        assert list((project.runs / "long" / ".work" / "coarse_nerf").glob("*/checkpoint.safetensors"))


@pytest.mark.slow
def test_a_deployment_is_run_and_cancelled(tmp_path):
    from flows.engine.project import init_project
    from flows.engine.server import stop_local_server

    project, _ = init_project(tmp_path / "project")
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "flows.cli", "deploy", "latent-nerf", "--serve"]
    serving = subprocess.Popen(
        words, cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for line in serving.stdout:
            if "makes their runs" in line:
                break
        else:
            raise AssertionError("deploy ended")
        done = subprocess.run(
            [sys.executable, "-c", TRIED], cwd=project.root, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (project.root / "mugs.csv").write_text("name,prompt,seed\nmug,a red mug,3\nblue,a blue mug,3\n")
        sets = [f"--set={name}={value}" for name, value in SMALL.items()]
        line = [sys.executable, "-m", "flows.cli", "sweep", "mugs.csv", "--method=latent-nerf", "--on=prefect", *sets]
        swept = subprocess.run(line, cwd=project.root, env=environment, capture_output=True, text=True)
        assert swept.returncode == 0, swept.stdout + swept.stderr
        assert "2 runs, 1 done, 1 to make" in swept.stdout and "  blue: done in " in swept.stdout
        assert (project.runs / "blue" / "evaluation" / "report.html").is_file()
        schedule = [sys.executable, "-c", SCHEDULED]
        told = subprocess.run(schedule, cwd=project.root, env=environment, capture_output=True, text=True)
        assert told.returncode == 0 and "0 2 * * *" in told.stdout, told.stdout + told.stderr
    finally:
        serving.terminate()
        serving.wait(90)
        stop_local_server(project)
