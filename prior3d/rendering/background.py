"""What lies behind a field that was fitted to whole images: a smooth background, and renders over it."""

import json
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.cameras import Cameras, spherical_harmonics
from prior3d.errors import Prior3dError
from prior3d.fields.protocol import RadianceField
from prior3d.files import write_or_explain
from prior3d.limits import read_json
from prior3d.rendering.rays import rays
from prior3d.rendering.volume import render_without_gradient

FILE = "background.json"


class Background(nn.Module):
    """A smooth background: a colour for every direction, from the nine lowest spherical harmonics; grey at first."""

    def __init__(self) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.zeros(9, 3))

    def forward(self, directions: Float[Tensor, "*rays 3"]) -> Float[Tensor, "*rays 3"]:
        """Colours in (0, 1) for unit directions."""
        return (spherical_harmonics(directions, degree=2) @ self.coefficients).sigmoid()


def save_background(folder: Path, background: Background) -> None:
    """Write `background.json` beside the field that it lies behind."""
    write_or_explain(folder / FILE, json.dumps(background.coefficients.tolist()) + "\n")


def load_background(folder: Path) -> Background | None:
    """What lies behind the field in a folder; None where nothing does.

    Raises:
        Prior3dError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    background = Background()
    try:
        coefficients = torch.tensor(read_json(path))
        background.load_state_dict({"coefficients": coefficients})
    except (OSError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise Prior3dError(f"{path}: damaged ({reason}); run the stage that makes it again") from error
    return background


def render_images(
    field: RadianceField, cameras: Cameras, n_samples: int, background: Background | float | None
) -> tuple[Float[Tensor, "views 3 height width"], Float[Tensor, "views height width"]]:
    """Images in [0, 1] and opacities of views, without a gradient.

    Args:
        field: with three channels of colour.
        cameras: the views.
        n_samples: intervals along a ray.
        background: put behind the field: a `Background`, or a grey level; None leaves colours premultiplied.
    """
    features, opacity, _ = render_without_gradient(field, cameras, n_samples)
    if isinstance(background, Background):
        with torch.no_grad():
            features = features + (1 - opacity)[..., None] * background(rays(cameras)[1])
    elif background is not None:
        features = features + (1 - opacity)[..., None] * background
    return features.movedim(-1, 1).clamp(0, 1), opacity
