"""The artifact PosedImages: pictures of one size, their masks if any, and their cameras as a transforms.json."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prior3d.errors import Prior3dError
from stages.artifacts import _AGAIN, _parse

if TYPE_CHECKING:
    from torch import Tensor

    from prior3d.cameras import Cameras
    from prior3d.scenes import PosedViews


class SceneFolder:
    """A capture as a person gives it: a folder; what is in it is looked at by the stage that reads it."""

    @staticmethod
    def validate(path: Path) -> None:
        """It is a folder."""
        if not path.is_dir():
            raise Prior3dError(f"{path}: a capture is a folder with transforms.json and pictures, this is none.")


class PosedImages:
    """`transforms.json` as nerfstudio has it, with `prior3d: {mask_meaning, placement}`; `images/` and `masks/`."""

    @staticmethod
    def save_picture(folder: Path, name: str, image: "Tensor", mask: "Tensor | None") -> None:
        """Write one picture [3, height, width] and its mask [height, width], in [0, 1], as PNGs."""
        from prior3d.images import write_png

        for kind in ("images", *(() if mask is None else ("masks",))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        write_png(folder / "images" / f"{name}.png", image.movedim(0, -1).cpu().numpy())
        if mask is not None:
            write_png(folder / "masks" / f"{name}.png", mask.cpu().numpy())

    @staticmethod
    def save_cameras(
        folder: Path, names: list[str], cameras: "Cameras", mask_meaning: str, about: dict[str, Any] | None = None
    ) -> None:
        """Write transforms.json for pictures that are there; `about` is kept beside the meaning of the masks."""
        from prior3d.cameras import to_nerfstudio
        from prior3d.checkpoints import write_atomically

        content = to_nerfstudio(cameras, [f"images/{name}.png" for name in names])
        if mask_meaning != "none":
            for name, frame in zip(names, content["frames"], strict=True):
                frame["mask_path"] = f"masks/{name}.png"
        content["prior3d"] = {"mask_meaning": mask_meaning} | (about or {})
        write_atomically(folder / "transforms.json", (json.dumps(content, indent=1) + "\n").encode())

    @staticmethod
    def load(folder: Path) -> "PosedViews":
        """Read the cameras; pictures are read when asked for. A Prior3dError says what is wrong."""
        from prior3d.cameras import from_nerfstudio
        from prior3d.scenes import PosedViews

        path = folder / "transforms.json"
        content = _parse(path)
        cameras = from_nerfstudio(content)
        try:
            images = tuple(folder / frame["file_path"] for frame in content["frames"])
            masks = tuple(folder / frame["mask_path"] for frame in content["frames"] if "mask_path" in frame)
            meaning = content["prior3d"]["mask_meaning"]
        except KeyError as error:
            raise Prior3dError(f"{path}: {error} is missing. {_AGAIN}") from error
        if meaning not in ("object", "ignore", "none") or len(masks) != (0 if meaning == "none" else len(images)):
            raise Prior3dError(f"{path}: {len(masks)} masks of {len(images)} pictures, meaning {meaning!r}. {_AGAIN}")
        return PosedViews(cameras, images, masks, meaning)

    @staticmethod
    def validate(folder: Path) -> None:
        """The cameras are finite, every picture is there, and the first and last can be read."""
        views = PosedImages.load(folder)
        if not views.images:
            raise Prior3dError(f"{folder}: there is no picture. {_AGAIN}")
        if not (views.cameras.c2w.isfinite().all() and views.cameras.fov_deg.isfinite().all()):
            raise Prior3dError(f"{folder / 'transforms.json'}: a camera is not finite. {_AGAIN}")
        for file in views.images + views.masks:
            if not file.is_file():
                raise Prior3dError(f"{file}: there is no such file. {_AGAIN}")
        for view in {0, views.views - 1}:
            views.image(view), views.mask(view)
