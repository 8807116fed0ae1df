"""Blender's add-on talks to a real studio; Blender itself is not needed for that."""

import contextlib
import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest
import uvicorn

from flows.studio.server import make_app
from flows.studio.serving import _bound

ADD_ON = Path(__file__).resolve().parents[3] / "integrations" / "blender" / "prior3d_studio.py"


@pytest.fixture
def add_on(monkeypatch):
    """The add-on, with nothing of Blender behind it."""
    blender = MagicMock()
    for name in ("AddonPreferences", "Operator", "Panel"):
        setattr(blender.types, name, type(name, (), {}))
    monkeypatch.setitem(sys.modules, "bpy", blender)
    monkeypatch.setitem(sys.modules, "bpy.props", blender.props)
    monkeypatch.setitem(sys.modules, "mathutils", ModuleType("mathutils"))
    sys.modules["mathutils"].Vector = tuple
    spec = importlib.util.spec_from_file_location("prior3d_studio", ADD_ON)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def served(queue):
    """The port of a studio that answers, and looks after its queue; its token is `secret`."""
    with _bound(None, 8380) as bound:
        port = bound.getsockname()[1]
        app = make_app(queue.project, queue, "secret")
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        queue.start()
        yield port
        queue.close()
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def address(queue):
    """Where a studio answers."""
    with served(queue) as port:
        yield f"http://127.0.0.1:{port}/?token=secret"


def test_it_asks_waits_and_hears_how_it_went(add_on, address, queue):
    heard = []
    with pytest.raises(add_on.StudioError, match="one-two has no mesh yet"):  # the fake method makes none
        add_on.Studio(address).make("counting-method", "one two", "", heard.append)
    assert (queue.project.runs / "one-two" / "joining").is_dir()
    assert heard and all(text.startswith("one-two: ") for text in heard)


def test_what_is_wrong_is_one_line(add_on, address, tmp_path):
    studio = add_on.Studio(address)
    for asked, said in [
        (("counting-method", "", ""), "say this in words: what to count"),
        (("nothing", "x", ""), "there is no method"),
        (("quick", "", str(tmp_path / "none.png")), "the image cannot be read"),
    ]:
        with pytest.raises(add_on.StudioError, match=said):
            studio.make(*asked, print)
    (tmp_path / "notes.png").write_text("no image")
    with pytest.raises(add_on.StudioError, match="cannot be read as an image"):
        studio.make("quick", "", str(tmp_path / "notes.png"), print)
    with pytest.raises(add_on.StudioError, match="paste the one that it printed last"):
        add_on.Studio(address.replace("secret", "old"))
    for wrong in ("", "http://evil.example/?token=secret", address.partition("?")[0]):
        with pytest.raises(add_on.StudioError, match="paste the address"):
            add_on.Studio(wrong)


def test_the_origin_is_read_out_of_a_glb(add_on):
    assert add_on.origin_of(b"") == {} == add_on.origin_of(b"glTF" + bytes(40))
