"""Splats on the page of a run: what is packed, and what the viewer draws in a browser."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from flows.versions import splats_shown
from prior3d.cameras import Cameras, Orbit, orbit_cameras
from prior3d.metrics import psnr_db
from prior3d.splats.field import SplatsField, cameras_around
from prior3d.splats.render import render_splats
from stages.artifacts.splats import save_splats
from tests.browser import CHROMIUM, chromium
from tests.gaussian_splats import some_splats

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
LEAST_DB = 32.0
BOTH = """(async () => { const c = document.querySelector('canvas.splats'), image = new Image();
  image.src = c.toDataURL(); await image.decode(); return [c.width, c.height, image.src]; })()"""


@pytest.fixture
def made(fake):
    """Runs whose last stage left splats beside its text."""

    def make(name, splats, cameras=None):
        fake.run(name=name)
        save_splats(fake.folder(name) / "joining", SplatsField(splats, cameras or cameras_around(16)))
        assert fake.cli("accept", name)[0] == 0

    fake.make = make
    return fake


def page_of(made, tmp_path, *words):
    page = tmp_path / "page.html"
    code, _, err = made.cli(*words, "--to", str(page))
    assert (code, err) == (0, "")
    return page


def test_a_gaussian_is_twelve_words():
    splats = some_splats(n=3, degree=2)
    tensors = {name: value.detach().numpy() for name, value in splats.state_dict().items()}
    packed, largest = splats_shown.pack(tensors)
    assert len(packed) == 3 * 48 and largest == pytest.approx(float(splats.shN[:, :3].detach().abs().max()))
    row = packed[48:96]
    assert np.frombuffer(row, "<f4", 3) == pytest.approx(splats.means[1].detach().numpy())
    quat = np.frombuffer(row, "<i2", 4, 12) / 32767
    assert quat == pytest.approx(torch.nn.functional.normalize(splats.quats[1], dim=0).detach().numpy(), abs=2e-5)
    halves = np.frombuffer(row, "<f2", 7, 20).astype(float)
    assert halves[:3] == pytest.approx(splats.scales[1].detach().numpy(), abs=2e-3)
    assert halves[3] == pytest.approx(float(splats.opacities[1].detach().sigmoid()), abs=1e-3)
    assert np.frombuffer(row, np.int8, 9, 36) / 127 * largest == pytest.approx(
        splats.shN[1, :3].detach().numpy().ravel(), abs=largest / 127
    )


def test_the_most_visible_are_shown_where_there_are_many(monkeypatch):
    monkeypatch.setattr(splats_shown, "MOST_SHOWN", 2)
    scales = np.log(np.array([[0.1, 0.1, 0.1], [0.2, 0.2, 0.01], [0.3, 0.3, 0.3], [0.1, 0.1, 0.1]], np.float32))
    opacities = np.array([3.0, 3.0, -9.0, 4.0], np.float32)
    assert splats_shown.most_visible(scales, opacities).tolist() == [1, 3]


def test_a_place_is_seen_from_its_first_camera():
    camera = orbit_cameras(Orbit(*(torch.tensor([v]) for v in (70.0, 20.0, 2.5, 55.0))), 4, 4)
    tensors = {"cameras.c2w": camera.c2w.numpy(), "cameras.fov_deg": camera.fov_deg.numpy()}
    view = splats_shown.first_view(False, tensors)
    assert view["orbit"] == pytest.approx({"azimuth": 70.0, "elevation": 20.0, "radius": 2.5}, abs=1e-3)
    assert view["target"] == pytest.approx([0, 0, 0], abs=1e-5) and (view["fov"], view["behind"]) == (55.0, 0.5)
    assert splats_shown.first_view(True, tensors)["behind"] is None


def test_damaged_splats_take_nothing_else_from_the_page(made, tmp_path):
    made.make("demo", some_splats(n=20))
    (made.folder() / "joining" / "field.safetensors").write_bytes(b"damaged")
    assert made.cli("accept", "demo")[0] == 0
    text = page_of(made, tmp_path, "open", "demo", "--no-browser").read_text()
    assert "<canvas" not in text and "Measurements" in text


def test_splats_and_none_beside_each_other(made, tmp_path):
    made.make("demo", some_splats(n=20))
    made.run(name="other", prompt="three")
    text = page_of(made, tmp_path, "compare", "demo", "other").read_text()
    assert text.count('<canvas class="splats"') == 1 and "no splats" in text and "20 Gaussians" in text


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("is_object", [True, False])
def test_the_viewer_draws_what_our_rasteriser_draws(made, tmp_path, is_object):
    splats = some_splats(n=500, size=0.05, degree=1, is_object=is_object)
    orbit = (30.0, 15.0, 4.1, 30.0) if is_object else (70.0, 20.0, 2.5, 55.0)
    first = orbit_cameras(Orbit(*(torch.tensor([v]) for v in orbit)), 8, 8)
    made.make("demo", splats, first)
    page = page_of(made, tmp_path, "open", "demo", "--no-browser")
    with chromium() as browser:
        browser.look(1000, 800)
        browser.open(page)
        drawn = canvas_image(browser)
        compare(drawn, splats, first)
        assert 0.02 < (drawn[..., :3].std(-1) > 0.02).mean() < 0.9  # something coloured, and something round it
        turn_it(browser, splats, orbit)
        assert (browser.errors, browser.fetched) == ([], [])


def canvas_image(browser):
    """[height, width, 4] what the canvas shows, not premultiplied, once it is drawn in order."""
    browser.wait("document.querySelector('canvas.splats')?.dataset.drawn && splats.every((v) => !v.sorting)", 240)
    _, _, url = browser.evaluate(BOTH)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA")) / 255


def compare(drawn, splats, camera: Cameras):
    """Hold what a canvas shows against our own image of the same camera, both over one grey."""
    with torch.no_grad():
        ours = (
            render_splats(splats, camera.resized(*drawn.shape[:2]), torch.full((3,), 0.5)).colours.clamp(0, 1).numpy()
        )
    alpha = drawn[..., 3:]
    found = psnr_db(ours.astype(np.float32), (drawn[..., :3] * alpha + 0.5 * (1 - alpha)).astype(np.float32))
    assert found > LEAST_DB, found


def turn_it(browser, splats, orbit):
    """Dragging to the right by 50 pixels looks from 20 degrees farther to the left."""
    browser.evaluate("document.querySelector('canvas.splats').scrollIntoView({block: 'center', behavior: 'instant'})")
    box = browser.evaluate("(({x, y, width, height}) => [x, y, width, height])"
                           "(document.querySelector('canvas.splats').getBoundingClientRect())")  # fmt: skip
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    browser.drag((x, y), (x + 50, y))
    browser.wait(f"Math.abs(splats[0].orbit.azimuth - {orbit[0] - 20}) < 1 && !splats[0].sorting", 120)
    azimuth = float(browser.evaluate("splats[0].draw(), splats[0].orbit.azimuth"))
    turned = orbit_cameras(Orbit(*(torch.tensor([v]) for v in (azimuth, *orbit[1:]))), 8, 8)
    compare(canvas_image(browser), splats, turned)
    browser.press("0")
    browser.wait(f"Math.abs(splats[0].orbit.azimuth - {orbit[0]}) < 0.01", 30)
