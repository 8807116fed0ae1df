"""What stages hand to each other: how each artifact lies on disk, and the check that it is whole."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prior3d.errors import Prior3dError

if TYPE_CHECKING:
    import torch

    from prior3d.fields import Field as RadianceField
    from prior3d.fields.scene_field import SceneField
    from prior3d.meshes.mesh import Mesh as Triangles
    from prior3d.meshes.mesh import TexturedMesh as TexturedTriangles
    from prior3d.meshes.uv import UvMesh as UvTriangles

MAX_PROMPT_CHARACTERS = 1000


class Field:
    """A radiance field: `field.json` says what it is made of, `field.safetensors` holds its tensors."""

    @staticmethod
    def save(folder: Path, field: "RadianceField | SceneField") -> None:
        """Write a field.

        Raises:
            Prior3dError: a value is not finite.
        """
        from dataclasses import asdict

        from safetensors.torch import save

        from prior3d.checkpoints import write_atomically

        _check_finite(folder, field)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in field.state_dict().items()}
        write_atomically(folder / "field.safetensors", save(tensors))
        write_atomically(folder / "field.json", (json.dumps(asdict(field.config), indent=2) + "\n").encode())

    @staticmethod
    def load(folder: Path, device: "torch.device | str" = "cpu") -> "RadianceField":
        """Read a field.

        Raises:
            Prior3dError: a file is missing, truncated or unreadable, or the two do not fit each other.
        """
        from pydantic import TypeAdapter, ValidationError
        from safetensors import SafetensorError
        from safetensors.torch import load

        from prior3d.fields import Field as RadianceField
        from prior3d.fields import FieldConfig

        described = _read(folder / "field.json")
        try:
            tensors = load(_read(folder / "field.safetensors"))
            if _parse(folder / "field.json").get("kind") == "scene":
                # It answers to all that meshes, textures and pictures ask of a field of colours.
                return cast("RadianceField", _scene_field(described, tensors).to(device))
            field = RadianceField(TypeAdapter(FieldConfig).validate_json(described))
            field.load_state_dict(tensors)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise Prior3dError(f"{folder / 'field.json'}: {where}: {problem['msg']}. {_AGAIN}") from error
        except (SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise Prior3dError(
                f"{folder / 'field.safetensors'}: damaged, or not that of field.json ({reason}). {_AGAIN}"
            ) from error
        return field.to(device)

    @staticmethod
    def validate(folder: Path) -> None:
        """Load the field and look for values that are not finite."""
        _check_finite(folder, Field.load(folder))


class Mesh:
    """Triangles without colours: `mesh.ply`, in world coordinates."""

    @staticmethod
    def save(folder: Path, mesh: "Triangles") -> None:
        """Write the mesh."""
        from prior3d.meshes.files import save_ply

        save_ply(folder / "mesh.ply", mesh)

    @staticmethod
    def load(folder: Path) -> "Triangles":
        """Read the mesh; a Prior3dError says what is wrong with it."""
        from prior3d.meshes.files import load_ply

        return load_ply(folder / "mesh.ply")

    @staticmethod
    def validate(folder: Path) -> None:
        """Load the mesh: it has faces and finite vertices."""
        Mesh.load(folder)


class TexturedMesh:
    """The result: `mesh.glb` (texture inside), and `mesh.obj`, `mesh.mtl`, `mesh.png`.

    A person's painted mesh lies in its own coordinates, with a `placement.json` beside it.
    """

    @staticmethod
    def save(folder: Path, mesh: "TexturedTriangles") -> None:
        """Write the mesh both ways."""
        from prior3d.meshes.files import save_glb, save_obj

        save_glb(folder / "mesh.glb", mesh)
        save_obj(folder, mesh)

    @staticmethod
    def save_painted(folder: Path, mesh: "UvTriangles", texture: Any) -> None:
        """Write a person's mesh both ways with a texture [height, width, 3], its geometry unchanged."""
        from prior3d.meshes.painted_files import save_painted

        save_painted(folder, mesh, texture)

    @staticmethod
    def load(folder: Path) -> "TexturedTriangles":
        """Read the mesh in world coordinates; a Prior3dError says what is wrong with it."""
        from prior3d.meshes.files import check_glb, load_glb
        from prior3d.meshes.painted_files import load_painted

        if (folder / "placement.json").is_file():
            check_glb(folder / "mesh.glb")
            return load_painted(folder)
        return load_glb(folder / "mesh.glb")

    @staticmethod
    def validate(folder: Path) -> None:
        """Load the mesh: faces, texture and UVs are there; the GLB and the OBJ's files are there and not empty."""
        TexturedMesh.load(folder)
        for name in ("mesh.obj", "mesh.mtl", "mesh.png"):
            _read(folder / name)


class Renders:
    """Pictures of a result: turntables of field and mesh, a video, `frames/`, `rig.json`, `report.html`."""

    FILES = ("turntable.png", "turntable.mp4", "mesh_turntable.png", "rig.json", "report.html")

    @staticmethod
    def validate(folder: Path) -> None:
        """Every file is there and is what its name says."""
        starts = {".png": (0, b"\x89PNG"), ".mp4": (4, b"ftyp"), ".json": (0, b"{"), ".html": (0, b"<!doctype html")}
        for name in Renders.FILES:
            offset, expected = starts[Path(name).suffix]
            content = _read(folder / name)
            if content[offset : offset + len(expected)] != expected:
                raise Prior3dError(f"{folder / name}: its content is not {Path(name).suffix}. {_AGAIN}")


class PathPictures:
    """A scene along its capture's path: `path.mp4`, and `path.png`, a sheet of some of its frames."""

    @staticmethod
    def validate(folder: Path) -> None:
        """Both are there and are what their names say."""
        for name, offset, expected in (("path.mp4", 4, b"ftyp"), ("path.png", 0, b"\x89PNG")):
            content = _read(folder / name)
            if content[offset : offset + len(expected)] != expected:
                raise Prior3dError(f"{folder / name}: its content is not {Path(name).suffix}. {_AGAIN}")


class Metrics:
    """`metrics.json`: name to {value, unit, n, higher_is_better}."""

    @staticmethod
    def load(folder: Path) -> dict[str, dict[str, Any]]:
        """Read the metrics; a Prior3dError says what is wrong with them."""
        path = folder / "metrics.json"
        metrics = _parse(path)
        for name, entry in metrics.items():
            if not isinstance(entry, dict) or not isinstance(entry.get("value"), int | float):
                raise Prior3dError(
                    f"{path}: {name}: found {entry!r}, expected an object with a number 'value'. {_AGAIN}"
                )
            if not math.isfinite(entry["value"]):
                raise Prior3dError(f"{path}: {name} is {entry['value']}, not a finite number. {_AGAIN}")
        return metrics

    @staticmethod
    def validate(folder: Path) -> None:
        """Every entry has a finite value."""
        Metrics.load(folder)


class Prior:
    """A prior by name and content: a small JSON file with `name` and `digest`; where it lies is not part of it."""

    @staticmethod
    def validate(path: Path) -> None:
        """Both keys are there and are text."""
        found = _parse(path)
        for key in ("name", "digest"):
            if not isinstance(found.get(key), str) or not found[key]:
                raise Prior3dError(f'{path}: {key!r} is missing. It must hold {{"name": ..., "digest": ...}}.')


class Prompt:
    """A sentence: a small text file."""

    @staticmethod
    def validate(path: Path) -> None:
        """There is text, and not more than a prior could read."""
        try:
            text = _read(path).decode().strip()
        except UnicodeDecodeError as error:
            raise Prior3dError(f"{path}: not UTF-8 text ({error}). Save the prompt as UTF-8.") from error
        if not text:
            raise Prior3dError(f"{path}: the prompt is empty. Say in words what to make.")
        if len(text) > MAX_PROMPT_CHARACTERS:
            raise Prior3dError(
                f"{path}: the prompt has {len(text):,} characters, the limit is {MAX_PROMPT_CHARACTERS:,}. Shorten it."
            )


_AGAIN = "Run the stage that makes it again."


def _read(path: Path) -> bytes:
    """The content of a file that must be there and not empty."""
    if not path.is_file():
        raise Prior3dError(f"{path}: there is no such file. {_AGAIN}")
    content = path.read_bytes()
    if not content:
        raise Prior3dError(f"{path}: the file is empty. {_AGAIN}")
    return content


def _parse(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    try:
        found = json.loads(_read(path))
    except ValueError as error:
        raise Prior3dError(f"{path}: not JSON ({error}). {_AGAIN}") from error
    if not isinstance(found, dict):
        raise Prior3dError(f"{path}: found a JSON {type(found).__name__}, expected an object. {_AGAIN}")
    return found


def _scene_field(described: bytes, tensors: "dict[str, torch.Tensor]") -> "SceneField":
    """The field of a captured scene."""
    from pydantic import TypeAdapter

    from prior3d.fields.scene_field import SceneField, SceneFieldConfig

    if "rows" not in tensors:
        raise RuntimeError("it holds no rows")
    field = SceneField(TypeAdapter(SceneFieldConfig).validate_json(described), tensors["rows"])
    field.load_state_dict(tensors)
    return field


def _check_finite(folder: Path, field: "RadianceField | SceneField") -> None:
    for name, tensor in field.state_dict().items():
        if not tensor.isfinite().all():
            raise Prior3dError(
                f"{folder}: {name} of the field is not finite. Lower the stage's learning_rate and run it again."
            )
