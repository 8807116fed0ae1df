"""A radiance field on disk: `field.json` says what it is made of, `field.safetensors` holds its tensors.

Gaussian splats lie in the same files and serve in a field's place where a stage can draw them. The module that reads
and draws them is imported by its name, so it is in the key of the stage that makes splats and in no other: that stage
writes a digest of this code beside them, so other code makes all later stages run again. Runs without splats do not
depend on it.
"""

import importlib
from dataclasses import asdict
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load

from prior3d.errors import Prior3dError
from prior3d.fields import DenseGrids, FieldConfig, ObjectField
from prior3d.fields.protocol import DrawsItself
from prior3d.fields.scene_field import SceneField, SceneFieldConfig
from stages.artifacts.base import RUN_AGAIN, read_file, read_json, write_json, write_tensors

MOST_GRIDS = 64
SPLATS = "splats"


def save_field(folder: Path, field: ObjectField | SceneField) -> None:
    """Write a field.

    Raises:
        Prior3dError: a value is not finite.
    """
    _check_finite(folder, field)
    write_tensors(folder / "field.safetensors", dict(field.state_dict()))
    write_json(folder / "field.json", asdict(field.config))


def load_field(folder: Path, device: torch.device | str = "cpu") -> ObjectField | SceneField:
    """Read a field of an object or of a captured scene.

    Raises:
        Prior3dError: a file is missing, truncated or unreadable, or the two do not fit each other.
    """
    described = read_file(folder / "field.json")
    try:
        kind = read_json(folder / "field.json").get("kind")
        if kind == SPLATS:
            raise Prior3dError(
                f"{folder}: these are Gaussian splats, a field is needed; set kind=grid in the stage that made them"
            )
        tensors = load(read_file(folder / "field.safetensors"))
        if kind == "scene":
            return _scene_field(described, tensors).to(device)
        config = TypeAdapter(FieldConfig).validate_json(described)
        _check_size(config, tensors)
        field = ObjectField(config)
        field.load_state_dict(tensors)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise Prior3dError(f"{folder / 'field.json'}: {where}: {problem['msg']}. {RUN_AGAIN}") from error
    except (SafetensorError, RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())
        raise Prior3dError(
            f"{folder / 'field.safetensors'}: damaged, or not that of field.json ({reason}). {RUN_AGAIN}"
        ) from error
    return field.to(device)


def load_object_field(folder: Path, device: torch.device | str = "cpu") -> ObjectField:
    """Read a field of an object.

    Raises:
        Prior3dError: as `load_field`, or it is a captured scene's.
    """
    field = load_field(folder, device)
    if not isinstance(field, ObjectField):
        raise Prior3dError(f"{folder}: this is a captured scene's field; give the field of an object")
    return field


def load_scene_field(folder: Path, device: torch.device | str = "cpu") -> SceneField:
    """Read a field of a captured scene.

    Raises:
        Prior3dError: as `load_field`, or it is an object's.
    """
    field = load_field(folder, device)
    if not isinstance(field, SceneField):
        raise Prior3dError(f"{folder}: the input field is no captured scene's; give the output of scene_fit as --field")
    return field


def load_rgb_field(folder: Path, device: torch.device | str = "cpu") -> ObjectField | SceneField:
    """Read a field that must hold colours.

    Raises:
        Prior3dError: as `load_field`, or it holds latents.
    """
    field = load_field(folder, device)
    if field.config.head != "rgb":
        raise Prior3dError(
            f"{folder}: the input field holds {field.config.head}s, but colours are needed. "
            "Give the output of rgb_refinement as --field."
        )
    return field


def load_drawn(folder: Path, device: torch.device | str = "cpu") -> DrawsItself | None:
    """Read splats, or nothing where the folder holds a field, which `load_field` reads.

    Raises:
        Prior3dError: a file is missing, truncated or unreadable.
    """
    if read_json(folder / "field.json").get("kind") != SPLATS:
        return None
    found: DrawsItself = importlib.import_module("stages.artifacts.splats").load_splats(folder, device)
    return found


def save_drawn(folder: Path, drawn: DrawsItself) -> None:
    """Write splats.

    Raises:
        Prior3dError: a value is not finite.
    """
    importlib.import_module("stages.artifacts.splats").save_splats(folder, drawn)


def check_field(folder: Path) -> None:
    """Load the field, or the splats in its place, and look for values that are not finite."""
    if read_json(folder / "field.json").get("kind") == SPLATS:
        importlib.import_module("stages.artifacts.splats").check_splats(folder)
        return
    _check_finite(folder, load_field(folder))


def _check_size(config: FieldConfig, tensors: dict[str, torch.Tensor]) -> None:
    """Hold the sizes in field.json against the tensors, before a field of those sizes takes memory.

    Raises:
        RuntimeError: it describes a larger field than the tensors are.
    """
    encoding = config.encoding
    n_grids = len(encoding.resolutions) if isinstance(encoding, DenseGrids) else encoding.levels
    if not 0 < n_grids <= MOST_GRIDS:
        raise RuntimeError(f"{n_grids} grids")
    expected: dict[str, tuple[int, ...]]
    if isinstance(encoding, DenseGrids):
        width = encoding.features if config.hidden else 1 + config.channels
        expected = {f"encoding.grids.{i}": (r, r, r, width) for i, r in enumerate(encoding.resolutions)}
    else:
        expected = {f"encoding.tables.{i}": (rows, encoding.features) for i, rows in enumerate(encoding.rows)}
    if config.hidden:
        expected["network.0.bias"] = (config.hidden,)
    if config.occupancy_resolution:
        expected["occupancy.density"] = (config.occupancy_resolution**3,)
    for name, shape in expected.items():
        if name not in tensors or tensors[name].shape != shape:
            raise RuntimeError(f"{name} is missing or of another shape")


def _scene_field(described: bytes, tensors: dict[str, torch.Tensor]) -> SceneField:
    """The field of a captured scene."""
    if "rows" not in tensors:
        raise RuntimeError("it holds no rows")
    field = SceneField(TypeAdapter(SceneFieldConfig).validate_json(described), tensors["rows"])
    field.load_state_dict(tensors)
    return field


def _check_finite(folder: Path, field: ObjectField | SceneField) -> None:
    for name, tensor in field.state_dict().items():
        if not tensor.isfinite().all():
            raise Prior3dError(
                f"{folder}: {name} of the field is not finite. Lower the stage's learning_rate and run it again."
            )
