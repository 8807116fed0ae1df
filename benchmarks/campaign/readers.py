"""The readers that are fuzzed: each with a valid input on disk, the files of it that are changed, and the call."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from benchmarks.campaign.colmap_model import COLMAP_MODEL
from benchmarks.campaign.mutations import changed_bytes, changed_gzip_of_json, changed_json, changed_tensors
from benchmarks.campaign.newer_readers import NEWER
from benchmarks.campaign.reader import Reader, each
from flows.engine import run_files
from flows.engine.prior_files import check_prior
from flows.engine.record import read_record
from prior3d import checkpoints
from prior3d.cameras import orbit_cameras, ring
from prior3d.captures import read_capture
from prior3d.captures.co3d import read_co3d_sequence, read_co3d_sequences
from prior3d.captures.colmap_files import check_model_files
from prior3d.diffusion.concepts import Concept
from prior3d.diffusion.folders import check_prior_folder, role_of
from prior3d.distillation.sparse_views import PredictedViews
from prior3d.errors import Prior3dError
from prior3d.fields import DenseGrids, FieldConfig, ObjectField
from prior3d.images.masks import decoded_mask
from prior3d.images.object_image import ObjectImage, Viewpoint
from prior3d.images.photographs import read_header, read_image
from prior3d.limits import parse_json
from prior3d.meshes.reading import read_mesh
from prior3d.rendering.background import Background, load_background, save_background
from stages.artifacts.base import load_metrics
from stages.artifacts.capture import load_posed_images, save_posed_cameras
from stages.artifacts.fields import load_field, save_field
from stages.artifacts.images import load_object_image, save_object_image
from stages.artifacts.priors import load_concept, save_concept
from stages.artifacts.symmetry import load_symmetry
from stages.artifacts.view_features import ViewFeatures, load_view_features, save_view_features
from stages.contract import yaml_text
from tests.flows.fake.fake_priors import write_prior
from tests.scenes import write_capture
from tests.tiny_co3d import write_category


def _image(ending: str, **options: Any) -> Reader:
    def write(folder: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"a.{ending}", **options)

    read = each(
        lambda folder: read_header(folder / f"a.{ending}"),
        lambda folder: read_image(folder / f"a.{ending}"),
        lambda folder: decoded_mask(folder / f"a.{ending}"),
    )
    return Reader(write, {f"a.{ending}": changed_bytes}, read)


def _mesh(ending: str) -> Reader:
    def write(folder: Path) -> None:
        import trimesh  # a second to import

        shape = trimesh.creation.box()
        content = shape.export(file_type=ending)
        (folder / f"a.{ending}").write_bytes(content.encode() if isinstance(content, str) else content)

    return Reader(write, {f"a.{ending}": changed_bytes}, lambda folder: read_mesh(folder / f"a.{ending}"))


def _read_co3d(folder: Path) -> None:
    for call in (read_co3d_sequence, read_co3d_sequences):
        try:
            call(folder)
        except Prior3dError:
            continue


def _write_field(folder: Path) -> None:
    save_field(folder, ObjectField(FieldConfig(DenseGrids((3, 5)), head="rgb", channels=3)))


def _write_posed(folder: Path) -> None:
    save_posed_cameras(folder, ["a", "b"], orbit_cameras(ring(2), 8, 8), "object")


def _write_small_files(folder: Path) -> None:
    metrics = {"psnr": {"value": 3.5, "unit": "dB", "n": 2, "higher_is_better": True}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    planes = [{"azimuth_deg": 3.0, "offset": 0.1, "score": 0.5}]
    (folder / "symmetry.json").write_text(json.dumps({"planes": planes, "weight": 0.5, "leave_one_out_db": {"0": 3.0}}))
    save_background(folder, Background())


def _write_image(folder: Path) -> None:
    rgba = np.ones((8, 8, 4), np.float32)
    save_object_image(folder, ObjectImage(rgba, Viewpoint(30.0, 15.0, 40.0, 3.2)))


def _write_features(folder: Path) -> None:
    cameras = orbit_cameras(ring(2), 4, 4)
    predicted = PredictedViews(cameras, torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 4, 4), torch.ones(2, 4, 4), 0.5)
    save_view_features(folder, ViewFeatures(predicted, 0.5))


def _write_run(folder: Path) -> None:
    lock = {"schema": "2.0", "stages": {"counting": {
        "cmd": "python -m stages x", "deps": [{"path": "inputs/a", "hash": "md5", "md5": "0" * 32, "size": 3}],
        "params": {"params.yaml": {"counting": {"steps": 3, "seed": 0}}, "code.yaml": {"counting": "0123"}},
        "outs": [{"path": "counting", "hash": "md5", "md5": "1" * 32 + ".dir", "size": 3, "nfiles": 2}]}}}  # fmt: skip
    method = {"method": "m", "preset": "toy", "inputs": {"a": {"file": "inputs/a", "text": "b", "sha256": "0"}},
              "stages": {"counting": {"module": "fake", "text": "inputs/a"}}}  # fmt: skip
    record = {"time": "2026-01-01T00:00:00", "how": "run", "reasons": {"counting": ["is new"]},
              "outcomes": {"counting": "Completed"}, "packages": {"torch": "2"}, "metrics": {}, "cost": {}}  # fmt: skip
    for name, value in (("dvc.lock", lock), ("method.yaml", method)):
        (folder / name).write_text(json.dumps(value))
    (folder / "0001.json").write_text(json.dumps(record))


def _changed_text(content: bytes, rng: random.Random) -> bytes:
    """A file of JSON, which is YAML too, as either."""
    found = changed_json(content, rng)
    try:
        return yaml_text.dump(json.loads(found)).encode("utf-8", "replace") if rng.random() < 0.5 else found
    except (ValueError, RecursionError, yaml.YAMLError):
        return found


def _concept() -> Concept:
    return Concept("<object>", "bear", torch.zeros(1, 4), "0" * 32)


def _save_checkpoint(folder: Path) -> None:
    checkpoints.save(folder / "c.safetensors", {"a": torch.zeros(3), "b": torch.zeros(2, 2)}, {"n_steps_done": 3})


PRIOR_FILES = ("model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json",
               "scheduler/scheduler_config.json")  # fmt: skip
READERS = {
    "transforms.json": Reader(
        lambda f: write_capture(f, n=2, size=(8, 6), mask=True), {"transforms.json": changed_json}, read_capture
    ),
    "COLMAP's binary files": Reader(
        lambda f: [(f / name).write_bytes(content) for name, content in COLMAP_MODEL.items()],
        dict.fromkeys(("cameras.bin", "images.bin", "points3D.bin", "rigs.bin", "frames.bin"), changed_bytes),
        check_model_files,
    ),
    "CO3D's annotations": Reader(
        lambda f: write_category(f / "ball", n_frames=2),
        {"ball/frame_annotations.jgz": changed_gzip_of_json, "ball/sequence_annotations.jgz": changed_gzip_of_json},
        lambda f: _read_co3d(f / "ball"),
    ),
    **{f"images: {ending}": _image(ending) for ending in ("png", "jpg", "webp", "tiff", "gif", "bmp")},
    "images: 16-bit tiff": _image("tif", compression="tiff_lzw"),
    **{f"meshes: {ending}": _mesh(ending) for ending in ("obj", "ply", "stl", "glb")},
    "posed images of a stage": Reader(_write_posed, {"transforms.json": changed_json}, load_posed_images),
    "metrics, symmetry, background": Reader(
        _write_small_files,
        dict.fromkeys(("metrics.json", "symmetry.json", "background.json"), changed_json),
        each(load_metrics, load_symmetry, load_background),
    ),
    "image of an object": Reader(_write_image, {"image.json": changed_json}, load_object_image),
    "features of views": Reader(
        _write_features, {"features.json": changed_json, "features.safetensors": changed_tensors}, load_view_features
    ),
    "fields": Reader(_write_field, {"field.json": changed_json, "field.safetensors": changed_tensors}, load_field),
    "concepts": Reader(
        lambda f: save_concept(f, _concept()),
        {"concept.json": changed_json, "concept.safetensors": changed_tensors},
        load_concept,
    ),
    "checkpoints": Reader(
        _save_checkpoint, {"c.safetensors": changed_tensors}, lambda f: checkpoints.load(f / "c.safetensors")
    ),
    "folders of priors": Reader(
        lambda f: write_prior(f / "p"),
        {f"p/{name}": changed_json for name in PRIOR_FILES} | {"p/unet/model.safetensors": changed_tensors},
        each(
            lambda f: check_prior(f / "p"),
            lambda f: role_of(f / "p"),
            lambda f: check_prior_folder(f / "p", "text_to_image"),
        ),
    ),
    "locks, records, method.yaml": Reader(
        _write_run,
        dict.fromkeys(("dvc.lock", "method.yaml", "0001.json"), _changed_text),
        each(
            lambda f: run_files.read_lock(f / "dvc.lock"),
            run_files.read_method,
            lambda f: read_record(f / "0001.json"),
        ),
    ),
    "YAML": Reader(
        _write_run,
        {"dvc.lock": _changed_text},
        lambda f: yaml_text.read_mapping(f / "dvc.lock"),
    ),
    "JSON": Reader(
        _write_run, {"dvc.lock": changed_json}, lambda f: parse_json((f / "dvc.lock").read_bytes()), (ValueError,)
    ),
    **NEWER,
}
