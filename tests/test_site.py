"""The documentation as a site: built with strict links, complete, and readable without a network."""

import functools
import http.server
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows.commands import PLACES
from flows.methods import METHODS
from tests.browser import CHROMIUM, chromium

ROOT = Path(__file__).resolve().parents[1]
STAGES = {stage.name: stage for method in METHODS.values() for stage in method.stages}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs: mkdocs-material"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)], cwd=ROOT,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_every_page_every_method_and_every_stage_is_there(site):
    for page in ROOT.glob("docs/**/*.md"):
        html = page.relative_to(ROOT / "docs").with_suffix(".html")
        html = html.with_name("index.html") if html.name == "README.html" else html
        assert (site / html).is_file(), html
    for name, stage in STAGES.items():
        text = (site / "reference" / "stages" / f"{name}.html").read_text()
        assert all(f"<code>{field}" in text for field in stage.load().Params.model_fields), name
    for name, method in METHODS.items():
        text = (site / "reference" / "methods" / f"{name}.html").read_text()
        assert all(f"stages/{stage.name}.html" in text for stage in method.stages), name
    commands = (site / "reference" / "commands.html").read_text()
    assert all(f'id="{name}"' in commands for name in PLACES)
    python = (site / "reference" / "python.html").read_text()
    assert "flows.api.run" in python and "stop_after" in python


def test_it_can_be_searched(site):
    found = json.loads((site / "search" / "search_index.json").read_text())
    titles = {entry["title"] for entry in found["docs"]}
    assert {"My photo", "coarse_nerf"} <= titles and len(titles) > 100


@pytest.fixture
def address(site):
    """The site behind a server on this machine."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_a_word_is_found_in_the_browser_without_a_network(address):
    with chromium() as browser:
        browser.look(1300, 850)
        browser.visit(address)
        browser.wait("!!document.querySelector('.md-search__input')")
        browser.evaluate("(document.querySelector('.md-search__input').focus(), 0)")
        browser.call("Input.insertText", text="guidance_scale")
        browser.wait("document.querySelectorAll('.md-search-result__item').length > 3", 120)
        browser.look(390, 844, phone=True)
        browser.visit(f"{address}reference/stages/coarse_nerf.html")
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert browser.errors == [] and all(url.startswith(address) for url in browser.fetched)


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="?(https?:[^" >]+)', page.read_text())
        assert loaded == [], page
