"""Artifacts of the sparse-view method: input views in memory, and what a views prior predicts for a ring of cameras."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.distillation.sparse_views import GivenViews, SeenViews
from prior3d.errors import Prior3dError
from prior3d.reconstruction.symmetry import MirrorPlane
from stages.artifacts.base import RUN_AGAIN, read_file, read_json, read_tensors, write_json, write_tensors
from stages.artifacts.capture import load_posed_images

HELD_OUT = "held_out"  # folder in a PosedImages folder, with images that nothing is made from


@dataclass(frozen=True)
class InputViews:
    """Posed pictures in memory.

    Attributes:
        colours: [views, 3, height, width], premultiplied where there are masks.
        masks: [views, height, width] of the object, or None.
        weights: [views, height, width], 0 where a pixel does not count.
        cameras: [views].
    """

    colours: Tensor
    masks: Tensor | None
    weights: Tensor
    cameras: Cameras

    @staticmethod
    def load(folder: Path, device: torch.device | str = "cpu") -> "InputViews":
        """Read all pictures of a PosedImages folder."""
        views = load_posed_images(folder)
        images = torch.stack([views.image(view) for view in range(views.views)]).to(device)
        masks = torch.stack([views.mask(view) for view in range(views.views)]).to(device)
        cameras = views.cameras.to(device)
        if views.mask_meaning == "object":
            return InputViews(images * masks[:, None], masks, torch.ones_like(masks), cameras)
        return InputViews(images, None, masks, cameras)

    def __getitem__(self, index: list[int]) -> "InputViews":
        """Some of the views."""
        masks = None if self.masks is None else self.masks[index]
        return InputViews(self.colours[index], masks, self.weights[index], self.cameras[torch.tensor(index)])

    def with_mirrored(self, symmetry: "Symmetry") -> "InputViews":
        """These views, then their mirror images in each plane, of the symmetry's weight; without masks only these."""
        if self.masks is None or not symmetry.planes:
            return self
        cameras = [self.cameras, *(plane.mirrored(self.cameras) for plane in symmetry.planes)]
        c2w, fov_deg = (torch.cat([getattr(part, name) for part in cameras]) for name in ("c2w", "fov_deg"))

        def doubled(pixels: Tensor, weight: float = 1.0) -> Tensor:
            return torch.cat([pixels, *[pixels.flip(-1) * weight] * len(symmetry.planes)])

        together = Cameras(c2w, fov_deg, self.cameras.height, self.cameras.width)
        return InputViews(doubled(self.colours), doubled(self.masks), doubled(self.weights, symmetry.weight), together)

    def given(self, size: int) -> GivenViews:
        """As a prior takes them: at `size` pixels."""

        def scaled(pixels: Tensor) -> Tensor:
            return functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True).clamp(0, 1)

        masks = None if self.masks is None else scaled(self.masks[:, None])[:, 0]
        return GivenViews(scaled(self.colours), masks, self.cameras.resized(size, size))


@dataclass(frozen=True)
class Symmetry:
    """`symmetry.json`: the object's mirror planes, and how well fits showed inputs that were left out.

    Attributes:
        planes: none or more.
        weight: of mirror images beside inputs, in (0, 1]: how often their rays are drawn.
        left_out_db: of each input left out, its number: PSNR in dB of a fit to the others (and their mirror images).
    """

    planes: tuple[MirrorPlane, ...] = ()
    weight: float = 1.0
    left_out_db: dict[int, float] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the file."""
        content = {
            "planes": [asdict(plane) for plane in self.planes],
            "weight": self.weight,
            "left_out_db": {str(view): score for view, score in self.left_out_db.items()},
        }
        write_json(folder / "symmetry.json", content)

    @staticmethod
    def load(folder: Path) -> "Symmetry":
        """Read the file; a Prior3dError says what is wrong with it."""
        path = folder / "symmetry.json"
        content = read_json(path)
        try:
            planes = tuple(MirrorPlane(**plane) for plane in content["planes"])
            left_out_db = {int(view): float(score) for view, score in content["left_out_db"].items()}
            return Symmetry(planes, float(content["weight"]), left_out_db)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Prior3dError(f"{path}: not a symmetry ({error}). {RUN_AGAIN}") from error


@dataclass(frozen=True)
class ViewFeatures:
    """`features.safetensors`: what the prior says of a ring of cameras; `features.json`: how far to trust it.

    Attributes:
        cameras: [views] of the ring.
        seen: features, pictures and masks of each.
        level: of the flat grey background that the features are for.
        trust: in [0, 1].
    """

    cameras: Cameras
    seen: SeenViews
    level: float
    trust: float

    def save(self, folder: Path) -> None:
        """Write both files."""
        tensors = {"features": self.seen.features, "colours": self.seen.colours, "c2w": self.cameras.c2w}
        tensors["fov_deg"] = self.cameras.fov_deg
        if self.seen.masks is not None:
            tensors["masks"] = self.seen.masks
        write_tensors(folder / "features.safetensors", tensors)
        about = {"level": self.level, "trust": self.trust, "size": self.cameras.height}
        write_json(folder / "features.json", about)

    @staticmethod
    def load(folder: Path, device: torch.device | str = "cpu") -> "ViewFeatures":
        """Read both files; a Prior3dError says what is wrong with them."""
        path, about = folder / "features.safetensors", read_json(folder / "features.json")
        try:
            tensors = {
                name: tensor.to(device)
                for name, tensor in read_tensors(path, "features", "colours", "c2w", "fov_deg").items()
            }
            size = int(about["size"])
            cameras = Cameras(tensors["c2w"], tensors["fov_deg"], size, size)
            seen = SeenViews(tensors["features"], tensors["colours"], tensors.get("masks"))
            found = ViewFeatures(cameras, seen, float(about["level"]), float(about["trust"]))
        except (KeyError, ValueError) as error:
            raise Prior3dError(f"{path}: damaged, or not that of features.json ({error}). {RUN_AGAIN}") from error
        if seen.colours.shape != (cameras.views, 3, size, size) or len(seen.features) != cameras.views:
            raise Prior3dError(f"{path}: {tuple(seen.colours.shape)} pictures of {cameras.views} cameras. {RUN_AGAIN}")
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise Prior3dError(f"{path}: {name} holds a value that is not finite. {RUN_AGAIN}")
        return found


def check_symmetry(folder: Path) -> None:
    """Load the file."""
    Symmetry.load(folder)


def check_view_features(folder: Path) -> None:
    """Load both files."""
    ViewFeatures.load(folder)


def check_samples(folder: Path) -> None:
    """Check `samples.png`, novel views for looking at: it is there, and a PNG."""
    if not read_file(folder / "samples.png").startswith(b"\x89PNG"):
        raise Prior3dError(f"{folder / 'samples.png'}: its content is not PNG. {RUN_AGAIN}")
