"""The viewer in the browser, for this machine only: viser shows an image and reports the camera."""

import contextlib
import io
import secrets
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.progress import duration
from flows.watching.live_view import LiveView, camera_of
from flows.watching.state import State
from prior3d.errors import Prior3dError
from prior3d.images.files import to_uint8
from prior3d.images.opening import opened_image

if TYPE_CHECKING:
    import viser

RADIUS, FOV_DEG = 3.6, 40.0
VIEWS = {"front": (1.0, 0.0, 0.15), "side": (0.0, 1.0, 0.15), "back": (-1.0, 0.0, 0.15), "top": (0.02, 0.0, 1.0)}
SETTLED_S = 0.4  # a camera at rest for this long gets the full resolution


class Viewer:
    """A page with the object, camera buttons, the stage, its loss and its newest preview.

    Attributes:
        url: the page's address, with the token without which it is not shown.
    """

    def __init__(self, name: str, port: int) -> None:
        """Serve the page on a port, or on the next free one."""
        import viser  # an extra: `prior3d watch` says how to install it

        from flows.watching.guard import guarded  # what viser serves by, which comes with it

        token = secrets.token_urlsafe(24)
        with guarded(token), contextlib.redirect_stdout(io.StringIO()):  # it prints a table of its own
            self._server = viser.ViserServer(host="127.0.0.1", port=port, label=f"prior3d watch {name}", verbose=False)
        self.url = f"http://127.0.0.1:{self._server.get_port()}/?token={token}"
        gui = self._server.gui
        gui.configure_theme(show_share_button=False, show_logo=False, control_layout="fixed")
        self._server.scene.set_up_direction("+z")
        self._server.initial_camera.position = tuple(RADIUS * np.array((0.95, 0.2, 0.25)))
        self._server.initial_camera.look_at = (0.0, 0.0, 0.0)
        self._server.initial_camera.fov = np.deg2rad(FOV_DEG)
        self._text = gui.add_markdown(f"**{name}**")
        self._bar = gui.add_progress_bar(0.0)
        nothing = (np.array([0.0, 1.0]), np.array([0.0, 0.0]))
        line = (viser.uplot.Series(label="step"), viser.uplot.Series(label="loss", stroke="#2563eb", width=2))
        scales = {"x": viser.uplot.Scale(time=False)}
        self._curve = gui.add_uplot(nothing, line, scales=scales, title="loss", aspect=1.8, visible=False)
        with gui.add_folder("view"):
            self._kind = gui.add_dropdown("show", ("colours", "depth"))
            self._height = gui.add_slider("pixels", min=32, max=320, step=16, initial_value=128)
            buttons = gui.add_button_group("look from", tuple(VIEWS))
        self._preview = gui.add_image(np.ones((1, 2, 3), np.uint8), label="the stage's preview", visible=False)
        buttons.on_click(lambda event: _look_from(event.client, str(event.target.value)))
        self._rendered: dict[int, tuple[Any, ...]] = {}
        self._name, self._shown = name, State()

    def show_state(self, state: State, view: LiveView, ending: str = "") -> None:
        """Show a run's state in the panel."""
        self._text.content = status_text(self._name, state, view.problem, ending)
        self._bar.value = 100.0 * state.step / state.total if state.total else 0.0
        if state.losses != self._shown.losses:
            self._curve.visible = len(state.losses) > 1
            if self._curve.visible:
                self._curve.data = tuple(np.array(state.losses, dtype=float).T)
        preview = _pixels(state)
        if preview is not None:
            self._preview.image, self._preview.visible = preview, True
        self._shown = state

    def draw(self, view: LiveView) -> bool:
        """Render for every browser with a new camera or field; returns whether anything was rendered."""
        rendered = False
        clients = self._server.get_clients()
        self._rendered = {number: key for number, key in self._rendered.items() if number in clients}
        for number, client in clients.items():
            height = int(self._height.value)
            moving = time.time() - client.camera.update_timestamp < SETTLED_S
            height = max(32, height // 2) if moving else height
            key = (client.camera.update_timestamp, view.version, self._kind.value, height)
            if self._rendered.get(number) != key:
                self._rendered[number], rendered = key, True
                client.scene.set_background_image(self._render(client, view, height), format="jpeg", jpeg_quality=90)
        return rendered

    def _render(self, client: "viser.ClientHandle", view: LiveView, height: int) -> Any:
        camera = client.camera
        cameras = camera_of(camera.position, camera.wxyz, camera.fov, camera.aspect, height)
        return to_uint8(view.render(cameras, self._kind.value))

    def close(self) -> None:
        """Stop serving."""
        self._server.flush()
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()


def status_text(name: str, state: State, problem: str, ending: str) -> str:
    """What the panel says, in Markdown."""
    lines = [f"**{name}**: {ending or state.stage or 'waiting for the first stage'}"]
    if state.total:
        loss = f", loss {state.losses[-1][1]:.4g}" if state.losses else ""
        lines.append(f"step {state.step:,} of {state.total:,}{loss}, {duration(state.seconds)}")
    if state.field_stage and state.field_stage != state.stage:
        lines.append(f"shown: the field of {state.field_stage}")
    return "  \n".join(lines + ([f"_{problem}_"] if problem else []))


def _pixels(state: State) -> Any:
    """The newest preview as an array; None without one."""
    if state.preview is None:
        return None
    try:
        with opened_image(state.preview, str(state.preview), "wait for the next") as image:
            return np.asarray(image.convert("RGB"))
    except Prior3dError:  # the stage has just ended
        return None


def _look_from(client: "viser.ClientHandle | None", view: str) -> None:
    if client is not None:
        direction = np.array(VIEWS[view])
        with client.atomic():
            client.camera.position = RADIUS * direction / np.linalg.norm(direction)
            client.camera.look_at = np.zeros(3)
