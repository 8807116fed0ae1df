"""Parts of the engine that whole runs do not reach."""

import base64
import fcntl
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from fake_priors import write_prior

from flows.engine.events import Event
from flows.engine.gpus import gpu_slot
from flows.engine.method import Input, Method, Stage
from flows.engine.prior_files import content_digest
from flows.engine.priors import choose_prior
from flows.engine.project import Project
from flows.engine.run import slug
from flows.engine.server import Server, find_or_start, password_file, stop_local_server, users_server

ROOT = Path(__file__).resolve().parents[2]


def test_wiring_mistakes_are_found_at_once():
    with pytest.raises(ValueError, match="method m, stage b: nothing before it is called 'c'"):
        Method("m", "", (Input("a", "text", ""),), (Stage("b", {"x": "c"}), Stage("c", {"x": "a"})))
    with pytest.raises(ValueError, match="two things are called 'a'"):
        Method("m", "", (Input("a", "text", ""),), (Stage("a", {"x": "a"}),))


def test_behind_and_needs():
    stages = (Stage("b", {"x": "a"}), Stage("c", {"x": "b"}), Stage("d", {"x": "a"}), Stage("e", {"x": "c", "y": "b"}))
    method = Method("m", "", (Input("a", "text", ""),), stages)
    assert method.behind("b") == {"c", "e"} and method.behind("d") == set()
    assert method.needs(method.stage("e")) == ["b", "c"]


def test_gpu_slots(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    with (
        gpu_slot("cuda", True, tmp_path, machine=lambda: None) as one,
        gpu_slot("auto", True, tmp_path, machine=lambda: None) as two,
    ):
        assert [one["CUDA_VISIBLE_DEVICES"], two["CUDA_VISIBLE_DEVICES"]] == ["2", "5"]
        assert one["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID", "as the driver's library counts them"
        with next(tmp_path.glob("*gpu2-*")).open() as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with gpu_slot("cpu", True, tmp_path) as none, gpu_slot("cuda:1", True, tmp_path) as chosen:
        assert none == {} and chosen == {}


def test_names_of_sentences():
    assert slug("A red mushroom, with white dots!") == "a-red-mushroom-with-white-dots"
    assert slug("蘑菇") == "run" and len(slug("x" * 300)) == 60


def test_users_own_prefect_is_respected(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert users_server() is None
    (tmp_path / "profiles.toml").write_text('active = "lab"\n[profiles.lab]\nPREFECT_API_URL = "http://lab:4200/api"\n')
    assert users_server() == Server("http://lab:4200/api", own=False)
    monkeypatch.setenv("PREFECT_API_URL", "http://other:1/api/")
    assert users_server() == Server("http://other:1/api", own=False)
    assert not Server("http://127.0.0.1:9/api", own=True).healthy()


HEAVY = {"torch", "numpy", "prefect", "dvc", "rich", "jinja2", "asyncio"}


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (["--help"], HEAVY | {"pydantic", "yaml", "flows.methods", "flows.engine"}),
        (["run", "--help"], HEAVY | {"pydantic", "yaml"}),
        (["run", "latent-nerf", "--help"], HEAVY | {"yaml", "flows.engine.session", "flows.engine.fingerprint"}),
        (["ls"], HEAVY | {"pydantic", "flows.engine.session"}),
    ],
)
def test_commands_that_only_tell_import_little(fake, words, left_out):
    script = (
        "import sys, flows.cli\n"
        "try:\n    flows.cli.main(sys.argv[1:])\n"
        "finally:\n    sys.stderr.write(' '.join(sys.modules))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=fake.project, env=env, capture_output=True)
    assert done.returncode == 0 and not left_out & set(done.stderr.decode().split())


def others_are_kept_out(server, project):
    """What a web page, a rebound name or another user of the machine gets to see."""
    assert password_file(project).stat().st_mode & 0o777 == 0o600
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = {"Origin": "http://evil.example", "Content-Type": "application/json"}
    for headers in (asked, {**asked, "Host": "evil.example"}, {**asked, "Authorization": "Basic cHJpb3IzZDp4"}):
        request = urllib.request.Request(f"{server.url}/flow_runs/filter", b"{}", headers, method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(request, timeout=60)
        assert refused.value.code == 401
        assert refused.value.headers.get("access-control-allow-origin") is None
    preflight = {**asked, "Access-Control-Request-Method": "DELETE"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(urllib.request.Request(server.url, headers=preflight, method="OPTIONS"), timeout=60)
    assert refused.value.code == 400


def test_no_password_of_a_server_is_printed(fake, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://me:hunter2@127.0.0.1:9/api")
    for words in (["server"], ["doctor"]):
        _, out, err = fake.cli(*words)
        assert "127.0.0.1:9" in out and "hunter2" not in out + err
    assert users_server().url.startswith("http://me:hunter2@") and not users_server().healthy()


def test_a_password_of_ones_own_server_is_used():
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as served:
        threading.Thread(target=served.handle_request, daemon=True).start()
        assert Server(f"http://me:a%40b@127.0.0.1:{served.server_port}/api", own=True).healthy()
    assert asked == [("/api/health", f"Basic {base64.b64encode(b'me:a@b').decode()}")]


@pytest.mark.slow
def test_run_with_a_prefect_server(fake, monkeypatch):
    """A server is started once, the second run reports to it, and a killed flow run is set to Crashed."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(fake.project / "nowhere"))
    project = Project(fake.project)
    server = find_or_start(project)
    try:
        assert find_or_start(project) == server
        noted = json.loads((project.state / "prefect" / "server.json").read_text())
        assert os.getpriority(os.PRIO_PROCESS, noted["pid"]) > os.getpriority(os.PRIO_PROCESS, 0)  # stages come first
        until = time.monotonic() + 120
        while not server.healthy():
            assert time.monotonic() < until
            time.sleep(0.5)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(server.url.removesuffix("api") + "ui-settings", timeout=60) as answer:
            assert json.load(answer)["api_url"] == server.url  # its pages ask this server
        env = {**os.environ, "PYTHONPATH": f"{ROOT}:{fake.code}"}
        to_server = {**env, "PREFECT_API_URL": server.url, "NO_PROXY": "127.0.0.1"}
        to_server["PREFECT_API_AUTH_STRING"] = password_file(project).read_text()
        others_are_kept_out(server, project)
        killed = (  # what kill -9 leaves on the server
            "from prefect import flow\n"
            "from prefect.client.orchestration import get_client\n"
            "from prefect.states import Running\n"
            "with get_client(sync_client=True) as c:\n"
            "    c.create_flow_run(flow(lambda: None, name='f'), name='killed', tags=['prior3d:project/demo'],\n"
            "                      state=Running())\n"
        )
        subprocess.run([sys.executable, "-c", killed], env=to_server, check=True, timeout=100)
        command = [sys.executable, str(fake.code / "fake_prior3d.py"), "run", "counting-method"]
        command += ["--prompt", "x", "--name", "demo", "--prior", str(fake.prior)]
        done = subprocess.run(command, cwd=fake.project, env=env, text=True, capture_output=True, timeout=170)
        assert (done.returncode, done.stderr) == (0, "")
        listing = (
            "import json, sys\n"
            "from prefect.client.orchestration import get_client\n"
            "with get_client(sync_client=True) as c:\n"
            "    found = c.read_task_runs() + c.read_flow_runs()\n"
            "    json.dump({t.name: t.state_name for t in found}, sys.stdout)\n"
        )
        answer = subprocess.run(
            [sys.executable, "-c", listing], env=to_server, text=True, capture_output=True, check=True
        )
        states = {"counting": "Completed", "shouting": "Completed", "joining": "Completed"}
        assert json.loads(answer.stdout) == {**states, "demo": "Completed", "killed": "Crashed"}
    finally:
        assert stop_local_server(project)


def test_what_is_said_of_a_prior_is_no_part_of_it(tmp_path):
    folder, cache = write_prior(tmp_path / "prior"), tmp_path / "state" / "digests.json"
    before = content_digest(folder, cache)
    (folder / "scores.json").write_text("{}")
    (folder / "training.json").write_text('{"samples": 1}')
    assert content_digest(folder, cache) == before
    (folder / "scheduler" / "scheduler_config.json").write_text('{"prediction_type": "sample"}')
    assert content_digest(folder, cache) != before


def test_weights_are_opened_once(fake, monkeypatch):
    opened = []
    monkeypatch.setattr("flows.engine.prior_files.check_safetensors", opened.append)
    project = Project(fake.project)
    weights = sorted(fake.prior.glob("*/*.safetensors"))
    for _ in range(2):
        choose_prior(str(fake.prior), project)
        assert opened == weights
    os.utime(weights[0], (1, 1))
    choose_prior(str(fake.prior), project)
    assert opened == [*weights, weights[0]]


@pytest.mark.slow
def test_previews_become_artifacts(tmp_path, monkeypatch):
    """The first preview at once, others not more often than every fifteen seconds, the finished one at the end."""
    from PIL import Image

    from flows.engine import orchestration

    made = []
    monkeypatch.setattr(orchestration, "create_progress_artifact", lambda *_, **__: "id")
    monkeypatch.setattr(orchestration, "update_progress_artifact", lambda *_: None)
    monkeypatch.setattr(orchestration, "create_markdown_artifact", lambda text, **about: made.append((text, about)))
    folder = tmp_path / "A run"
    (folder / "stage_one").mkdir(parents=True)
    for name, red in (("p.png", 200), ("stage_one/preview.png", 20)):
        Image.new("RGB", (64, 32), (red, 0, 0)).save(folder / name)
    shown = orchestration._Artifacts(folder, "stage_one")
    for step in (1, 2):
        shown(Event("stage_one", "progress", {"step": step, "total": 9, "preview": "p.png"}))
    shown(Event("another", "progress", {"step": 1, "total": 9, "preview": "p.png"}))
    shown(Event("stage_one", "progress", {"step": 3, "total": 9, "preview": "gone.png"}))
    shown.end("| metric |")
    assert [about["key"] for _, about in made] == ["a-run-stage-one-preview"] * 2 + ["a-run-stage-one-metrics"]
    assert [about["description"] for _, about in made[:2]] == [
        "stage_one of run A run, step 1",
        "stage_one of run A run, done",
    ]
    assert made[0][0].startswith("![stage_one](data:image/webp;base64,") and len(made[0][0]) < 1000
    assert made[0][0] != made[1][0] and made[2][0] == "| metric |"
