"""`prior3d watch`: what it reads of a run that goes on, what it draws, what it says when it cannot."""

import contextlib
import fcntl
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from flows.engine.project import init_project
from flows.engine.run import Run
from flows.watching.live_field import LatentColours, read_field, render_image
from flows.watching.live_view import LiveView, camera_of
from flows.watching.state import State, is_running, read_state
from prior3d.cameras import opengl_to_opencv, orbit_cameras, ring
from prior3d.fields import DenseGrids, FieldConfig, ObjectField
from prior3d.optimisation import save_checkpoint
from prior3d.seeds import Seeds
from prior3d.splats.field import SplatsField, cameras_around
from stages.artifacts.fields import save_field
from stages.artifacts.splats import save_splats
from tests.browser import CHROMIUM, chromium
from tests.gaussian_splats import ball_of_splats
from tests.scenes import colmap_poses

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["coarse_nerf", "rgb_refinement"]
needs_viser = pytest.mark.skipif(
    importlib.util.find_spec("viser") is None, reason='needs viser: pip install "viser>=1.1,<2"'
)


def red_field(**changes):
    """A red ball: the blob that fields start as, with a colour."""
    values = {"encoding": DenseGrids((3, 5)), "head": "rgb", "channels": 3, "blob_density": 8.0, "blob_radius": 0.35}
    field = ObjectField(FieldConfig(**(values | changes)), torch.Generator().manual_seed(0))
    with torch.no_grad():
        field.encoding.grids[0][..., 1:] += torch.tensor([4.0, -4.0, -4.0, 0.0, 0.0])[: field.config.channels]
    return field


def checkpoint(run, field, stage="rgb_refinement", step=7):
    """What a stage leaves while it trains."""
    work = run.folder / ".work" / stage / "0123456789abcdef"
    work.mkdir(parents=True, exist_ok=True)
    optimiser = torch.optim.Adam(field.parameters())
    save_checkpoint(work / "checkpoint.safetensors", {"field": field}, optimiser, Seeds(0), step)
    losses = {"total": 20, "last": step, "sums": [[i, 1 / (i + 1), 1] for i in range(step)]}
    (work / "elapsed.json").write_text(json.dumps({"seconds": 65.0, "losses": losses}))
    return work


@contextlib.contextmanager
def held(run):
    with (run.folder / ".work" / "run.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@pytest.fixture
def run(tmp_path):
    project, _ = init_project(tmp_path / "project")
    run = Run(project, "ball")
    (run.folder / ".work").mkdir(parents=True)
    stages = {name: {"module": f"stages.{name}"} for name in STAGES}
    (run.folder / "method.yaml").write_text(json.dumps({"method": "latent-nerf", "inputs": {}, "stages": stages}))
    return run


def test_a_run_goes_on_while_a_process_holds_it(run):
    assert not is_running(run)
    with held(run):
        assert is_running(run)
    assert not is_running(run)
    with run.held():  # the look of a moment ago is no obstacle
        assert is_running(run)


def test_state_is_read_from_what_stages_keep(run):
    assert read_state(run, STAGES) == State()
    work = checkpoint(run, red_field(), "coarse_nerf")
    state = read_state(run, STAGES)
    assert (state.stage, state.step, state.total, state.seconds) == ("coarse_nerf", 7, 20, 65.0)
    assert state.losses[1] == (2, 0.5) and len(state.losses) == 7
    assert (state.field, state.field_stage) == (work / "checkpoint.safetensors", "coarse_nerf")
    # the next stage begins: it has no checkpoint yet, so the finished one's field is seen
    (run.folder / ".work" / "coarse_nerf").rename(run.folder / "gone")
    (run.folder / "coarse_nerf").mkdir()
    (run.folder / "coarse_nerf" / "field.safetensors").touch()
    (run.folder / ".work" / "rgb_refinement" / "aa").mkdir(parents=True)
    (run.folder / ".work" / "rgb_refinement" / "aa" / "preview.png").touch()
    state = read_state(run, STAGES)
    assert (state.stage, state.total, state.losses) == ("rgb_refinement", 0, [])
    assert (state.field, state.field_stage) == (run.folder / "coarse_nerf", "coarse_nerf")
    assert state.preview is not None and state.preview.name == "preview.png"


def test_a_checkpoint_is_read_as_the_field_it_is(run):
    field = red_field()
    place = checkpoint(run, field) / "checkpoint.safetensors"
    found = read_field(place)
    points = torch.rand(50, 3) - 0.5
    assert found.config == field.config
    assert all(torch.equal(a, b) for a, b in zip(found(points), field(points), strict=True))
    assert read_field(place.with_name("none.safetensors")) is None
    save_checkpoint(place, {"texture": torch.nn.Linear(2, 2)}, torch.optim.Adam(field.parameters()), Seeds(0), 1)
    assert read_field(place) is None


def test_splats_are_read_and_drawn_phase_after_phase(run):
    work = checkpoint(run, red_field(), "rgb_refinement")
    (work / "checkpoint.safetensors").unlink()
    splats, optimiser = ball_of_splats(), torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    for phase in (0, 1):
        save_checkpoint(work / f"phase_{phase}.safetensors", {"splats": splats}, optimiser, Seeds(0), 1)
        os.utime(work / f"phase_{phase}.safetensors", (phase + 1, phase + 1))
        (work / f"phase_{phase}.end.safetensors").write_bytes(b"")
    place = read_state(run, STAGES).field
    assert place == work / "phase_1.safetensors"
    view, camera = LiveView(run), orbit_cameras(ring(1), 24, 32)
    view.refresh(place)
    seen, depth = view.render(camera, "colours"), view.render(camera, "depth")
    assert torch.equal(view.field.means, splats.means) and view.problem == ""
    assert seen[0, 0] == pytest.approx([1, 1, 1]) and seen[12, 16, 0] > 0.7 and seen[12, 16, 1] < 0.3
    assert depth[12, 16, 0] < depth[12, 13, 0] and np.ptp(depth[12, 16]) < 1e-5
    save_splats(run.folder / "coarse_nerf", SplatsField(splats, cameras_around(8)))
    assert torch.equal(read_field(run.folder / "coarse_nerf").means, splats.means)


def test_a_field_is_drawn_in_its_colours():
    camera = orbit_cameras(ring(1), 24, 32)
    seen = render_image(red_field(), camera)
    assert seen.shape == (24, 32, 3) and seen[0, 0] == pytest.approx([1, 1, 1], abs=0.02)
    assert seen[12, 16, 0] > 0.9 and seen[12, 16, 1] < 0.2
    latent = red_field(head="latent", channels=4)
    colours = LatentColours(torch.zeros(4, 3), torch.tensor([0.0, 0.0, 1.0]))
    assert render_image(latent, camera, "colours", colours)[12, 16] == pytest.approx([0, 0, 1], abs=0.1)
    depth = render_image(latent, camera, "colours")  # no colours are known
    assert depth[12, 16, 0] < depth[12, 11, 0] and np.ptp(depth[12, 16]) < 1e-5


def test_a_viewers_camera_is_ours():
    cameras = orbit_cameras(ring(3, elevation_deg=30), 24, 32)
    quaternions, _ = colmap_poses(cameras)  # of world-to-camera
    for c2w, (w, x, y, z) in zip(cameras.c2w, quaternions.tolist(), strict=True):
        found = camera_of(c2w[:3, 3].numpy(), np.array([w, -x, -y, -z]), np.deg2rad(40), 32 / 24, 24)
        assert torch.allclose(found.c2w[0], c2w, atol=1e-5) and (found.height, found.width) == (24, 32)
        assert found.fov_deg.item() == pytest.approx(40, abs=1e-4)
    assert torch.allclose(opengl_to_opencv(cameras.c2w)[:, :3, 3], cameras.positions)


def test_what_is_seen_follows_the_files(run):
    seen = LiveView(run)
    camera = orbit_cameras(ring(1), 16, 16)
    assert (seen.render(camera, "colours") == 1).all()
    place = checkpoint(run, red_field()) / "checkpoint.safetensors"
    seen.refresh(place)
    seen.refresh(place)
    assert (seen.version, seen.problem) == (1, "") and seen.render(camera, "colours")[8, 8, 1] < 0.2
    place.write_bytes(b"half")
    seen.refresh(place)
    assert seen.version == 1 and "not a whole checkpoint" in seen.problem
    place.unlink()
    seen.refresh(place)
    assert seen.version == 1 and seen.render(camera, "colours")[8, 8, 1] < 0.2
    checkpoint(run, red_field(head="latent", channels=5))
    seen.refresh(place)
    assert seen.version == 2 and "no map to colours is known for latents of 5 channels" in seen.problem


def test_wrong_ways_to_ask(run, monkeypatch, capfd):
    from flows.cli import main

    monkeypatch.chdir(run.project.root)

    def refused(said, *words):
        code = main(["watch", *words])
        err = capfd.readouterr().err
        assert code == 2 and said in err and len(err.splitlines()) == 1, err

    refused("there is no run 'bal' in", "bal")
    refused("--port 99999: use 1 to 65535", "ball", "--port", "99999")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refused(f'prior3d watch needs viser; type: {sys.executable} -m pip install "viser>=1.1,<2"', "ball")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    refused("run ball has ended, and it left no field of an object; to see its results: prior3d open ball", "ball")
    field = run.folder / "rgb_refinement"
    save_field(field, red_field())
    (field / "field.safetensors").write_bytes(b"half")
    refused("run ball has ended, and ", "ball")


@contextlib.contextmanager
def watching(run):
    """The command as a process; yields it and its address."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    words = [sys.executable, "-m", "flows.cli", "watch", run.name, "--port", "8190"]
    # a shell's background jobs ignore SIGINT, and so would their children: do not depend on who calls the tests
    process = subprocess.Popen(words, cwd=run.project.root, env=env, text=True, stdout=subprocess.PIPE,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip
    try:
        yield process, process.stdout.readline().split("  (")[0].rpartition(" ")[2]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@needs_viser
def test_it_is_served_on_this_machine_only_and_ends_with_the_run(run):
    checkpoint(run, red_field())
    with held(run), watching(run) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.add_handler(urllib.request.HTTPCookieProcessor())
        address = url.partition("/?token=")[0]
        assert opener.open(url, timeout=30).geturl() == f"{address}/"  # the token is gone from the address
        listening = subprocess.run(["ss", "-ltn"], capture_output=True, text=True).stdout if has("ss") else url
        assert f"0.0.0.0:{address.rpartition(':')[2]}" not in listening
        (run.folder / ".work" / "run.lock").unlink()  # as when the folder's holder is gone
        assert process.wait(60) == 0
        assert "run ball has ended; next: prior3d open ball" in process.stdout.read()


@pytest.mark.slow
@needs_viser
def test_a_run_that_has_ended_shows_what_it_left_until_it_is_stopped(run):
    save_field(run.folder / "coarse_nerf", red_field())
    with watching(run) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.add_handler(urllib.request.HTTPCookieProcessor())
        assert opener.open(url, timeout=30).status == 200
        time.sleep(2.5)  # it looks every second whether the run goes on
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0 and "next: prior3d open ball" in process.stdout.read()


@pytest.mark.slow
@needs_viser
def test_a_run_that_is_started_again_is_followed_to_its_end(run):
    save_field(run.folder / "coarse_nerf", red_field())
    with watching(run) as (process, _):
        with held(run):
            time.sleep(3)
        assert process.wait(60) == 0 and "run ball has ended" in process.stdout.read()


def has(command):
    import shutil

    return shutil.which(command) is not None


@pytest.mark.slow
@needs_viser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_it_is_seen_in_a_browser(run, tmp_path):
    from PIL import Image

    checkpoint(run, red_field())
    with held(run), watching(run) as (_, url), chromium() as browser:
        browser.look(1000, 700)
        address = url.partition("?token=")[0]
        browser.call("Page.navigate", url=url)
        browser.wait("document.body && document.body.innerText.includes('step 7 of 20')", 60)

        def redness():
            browser.screenshot(tmp_path / "shot.png")
            pixels = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB"), dtype=int)[:, :600]
            return ((pixels[..., 0] > 200) & (pixels[..., 1] < 90)).mean()

        browser.until(lambda: redness() > 0.05, 60)
        assert "rgb_refinement" in browser.evaluate("document.body.innerText")
        checkpoint(run, red_field(blob_density=-40.0), step=9)  # it has become empty
        browser.until(lambda: redness() < 0.001, 60)
        assert "step 9 of 20" in browser.evaluate("document.body.innerText")
        assert all(u.startswith((address, "ws" + address[4:])) for u in browser.fetched)
