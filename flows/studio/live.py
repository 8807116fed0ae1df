"""The field of a run while it trains, drawn as one JPEG from the side that a browser asks for."""

import io
import threading

import torch
from PIL import Image

from flows.engine.run import Run
from flows.watching.live_field import Kind
from flows.watching.live_view import LiveView
from flows.watching.state import read_state
from prior3d.cameras import orbit_cameras, ring
from prior3d.images.files import to_uint8

QUALITY = 88


class Live:
    """The newest field of the run that was looked at last."""

    def __init__(self) -> None:
        torch.set_num_threads(1)  # the run comes first
        self._view: LiveView | None = None
        self._lock = threading.Lock()

    def draw(
        self, run: Run, stages: list[str], azimuth_deg: float, elevation_deg: float, size: int, kind: Kind
    ) -> bytes | None:
        """The field as a JPEG; None if the run has none yet."""
        with self._lock:
            if self._view is None or self._view.run.folder != run.folder:
                self._view = LiveView(run)
            self._view.refresh(read_state(run, stages).field)
            if self._view.field is None:
                return None
            camera = orbit_cameras(ring(1, elevation_deg, start_deg=azimuth_deg), size, size)
            stream = io.BytesIO()
            Image.fromarray(to_uint8(self._view.render(camera, kind))).save(stream, "JPEG", quality=QUALITY)
            return stream.getvalue()
