"""What a viewer can show of a run while it trains: its newest field, in colours as soon as these are known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from flows.engine.run import Run
from flows.watching.live_field import (
    Kind,
    LatentColours,
    Shown,
    fitted_colours,
    paper_colours,
    read_field,
    render_image,
)
from prior3d.cameras import Cameras, opencv_to_opengl
from prior3d.diffusion.embedded import embedded_names
from prior3d.diffusion.text_to_image import TextToImagePrior, load_text_to_image
from prior3d.errors import Prior3dError
from prior3d.fields import ObjectField
from stages.contract.job import Job

NO_FIELD = "this stage trains no field of an object; see its preview"


@dataclass
class LiveView:
    """The newest field of a run.

    Attributes:
        run: the run.
        field: None until there is one.
        colours: of a latent field.
        version: increases with every new field.
        problem: why there is no field, or why it has no colours.
    """

    run: Run
    field: Shown | None = None
    colours: LatentColours | None = None
    version: int = 0
    problem: str = ""
    _read: tuple[Path, int] | None = None
    _prior: TextToImagePrior | None = None

    def refresh(self, place: Path | None) -> None:
        """Read a field if it is newer than the present one; a damaged or missing file changes nothing."""
        stamp = _stamp(place)
        if place is None or stamp is None or stamp == self._read:
            return
        try:
            found = read_field(place)
        except Prior3dError as error:  # a stage that ends takes its checkpoint away
            self.problem = "" if _stamp(place) is None else str(error)
            return
        if found is None and _stamp(place) is None:
            return
        self._read = stamp
        if found is None:
            self.problem = NO_FIELD
            return
        self.field, self.version, self.problem = found, self.version + 1, ""
        if isinstance(found, ObjectField) and found.config.head == "latent":
            try:
                self.colours = self._colours(found)
            except Prior3dError as error:
                self.problem = str(error)

    def _colours(self, found: ObjectField) -> LatentColours:
        """Fitted to the prior's decoder; the published map if decoding on the CPU would take minutes."""
        prior = self.run.folder / "inputs" / "prior.json"
        job = Job("watch", self.run.folder, {"prior": prior}, self.run.folder / ".work", self.run.settings())
        if not prior.is_file() or job.prior().name not in embedded_names():
            return paper_colours(found.config.channels)
        if self._prior is None:
            self._prior = load_text_to_image(job.prior(), torch.device("cpu"))
        return fitted_colours(found, self._prior)

    def render(self, cameras: Cameras, kind: Kind) -> np.ndarray:
        """One camera's image, [height, width, 3] in [0, 1]; white until there is a field."""
        if self.field is None:
            return np.ones((cameras.height, cameras.width, 3), dtype=np.float32)
        return render_image(self.field, cameras, kind, self.colours)


def _stamp(place: Path | None) -> tuple[Path, int] | None:
    if place is None:
        return None
    file = place / "field.safetensors" if place.is_dir() else place
    try:
        return place, file.stat().st_mtime_ns
    except OSError:
        return None


def camera_of(
    position: np.ndarray, wxyz: np.ndarray, fov_rad: float, aspect: float, height: int, turned: bool = True
) -> Cameras:
    """A viewer's camera in this project's convention.

    Args:
        position: [3] in the world, z up.
        wxyz: [4] unit quaternion of the rotation from the camera's axes to the world's.
        fov_rad: vertical field of view.
        aspect: width over height.
        height: of the image, in pixels.
        turned: the viewer uses OpenCV's axes (x right, y down, looking along +z), not OpenGL's.
    """
    w, x, y, z = (float(v) for v in wxyz)
    rotation = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    c2w = torch.eye(4)[None]
    c2w[0, :3, :3], c2w[0, :3, 3] = rotation, torch.as_tensor(position, dtype=torch.float32)
    c2w = opencv_to_opengl(c2w) if turned else c2w
    width = max(1, round(height * aspect))
    return Cameras(c2w, torch.rad2deg(torch.tensor([fov_rad], dtype=torch.float32)), height, width)
