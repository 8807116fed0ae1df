"""More readers that are fuzzed: splats, LoRAs, concepts, sweeps, statements in files, artifacts, state of runs."""

import json
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from benchmarks.campaign.mutations import changed_bytes, changed_gzip, changed_json, changed_tensors, changed_text
from benchmarks.campaign.reader import Reader, each
from flows.engine.checksums import read_sums
from flows.engine.failures import note_failure, read_failures
from flows.engine.results import read_results
from flows.provenance.containers import put
from flows.provenance.statement import read_statement
from flows.studio import jobs
from flows.sweeps.table import read_rows
from prior3d.cameras import orbit_cameras, ring
from prior3d.diffusion.lora import fused, load_lora
from prior3d.losses.shape_guide import ShapeGuide
from prior3d.meshes.mesh import HERE, Mesh, UvMesh
from prior3d.meshes.painted_files import load_painted, save_painted
from prior3d.meshes.projection import PartialTexture
from prior3d.reconstruction.input_views import InputViews
from prior3d.settings.completion import CompletionSettings
from prior3d.splats.field import SplatsField
from prior3d.splats.files import WRITERS, read_splats
from prior3d.splats.model import Splats, SplatsConfig
from stages.artifacts import captions, completions, drawn_views, meshes, shape_guide, splats, texts, textures
from stages.artifacts.priors import SHARED, load_concept
from stages.contract import yaml_text
from stages.contract.job import Job


def _some_splats(n: int = 3) -> Splats:
    torch.manual_seed(0)
    found = Splats(SplatsConfig(n_splats=n))
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return found


def _splats(ending: str) -> Reader:
    return Reader(
        lambda folder: (folder / f"a.{ending}").write_bytes(WRITERS[ending](_some_splats())),
        {f"a.{ending}": changed_gzip if ending == "spz" else changed_bytes},
        lambda folder: read_splats(folder / f"a.{ending}"),
    )


def _write_lora(folder: Path) -> None:
    name = "unet.down_blocks.0.attentions.0.to_q"
    factors = {f"{name}.lora_A.weight": torch.ones(2, 4), f"{name}.lora_B.weight": torch.ones(4, 2)}
    save_file(factors | {f"{name}.alpha": torch.tensor(2.0)}, folder / "a.safetensors")


def _read_lora(folder: Path) -> None:
    weights = {"down_blocks.0.attentions.0.to_q.weight": torch.zeros(4, 4)}
    fused(weights, load_lora(folder / "a.safetensors"), "unet", 1.0)


def _sweep(ending: str, content: str) -> Reader:
    return Reader(
        lambda folder: (folder / f"a.{ending}").write_text(content),
        {f"a.{ending}": changed_text},
        lambda folder: read_rows(folder / f"a.{ending}"),
    )


def _write_stated(folder: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "a.png")
    contents = {
        "png": (folder / "a.png").read_bytes(),
        "glb": WRITERS["glb"](_some_splats(1)),
        "ply": WRITERS["ply"](_some_splats(1)),
        "obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "mp4": b"\0\0\0\x14ftypisom\0\0\0\0isom" + b"\0\0\0\x08mdat",
    }
    for ending, content in contents.items():
        (folder / f"a.{ending}").write_bytes(put(f"a.{ending}", content, json.dumps({"prior3d": 1, "run": "a"})))


def _small_mesh() -> Mesh:
    return Mesh(np.eye(3), np.array([[0, 1, 2]]))


def _write_meshes(folder: Path) -> None:
    meshes.save_mesh(folder, _small_mesh())
    uv_mesh = UvMesh(np.eye(3), np.array([[0, 1, 2]]), np.eye(3)[:, :2], np.array([[0, 1, 2]]), HERE)
    save_painted(folder, uv_mesh, np.zeros((4, 4, 3), np.float32))


def _write_textures(folder: Path) -> None:
    for name in ("latent", "partial"):
        (folder / name).mkdir()
    textures.save_latent_texture(folder / "latent", torch.zeros(2, 2, 4))
    known = PartialTexture(torch.zeros(2, 2, 3), torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.uint8))
    textures.save_partial_texture(folder / "partial", known)


def _write_notes(folder: Path) -> None:
    captions.save_caption(folder, captions.Caption("a cup", True, 0.5, False))
    completions.save_completion(folder, CompletionSettings())
    (folder / "camera.txt").write_text("10,20,40\n")
    (folder / "prompt.txt").write_text("a cup\n")


def _write_views(folder: Path) -> None:
    cameras = orbit_cameras(ring(2), 4, 4)
    views = InputViews(torch.zeros(2, 3, 4, 4), torch.ones(2, 4, 4), torch.ones(2, 4, 4), cameras)
    drawn_views.save_drawn_views(folder, drawn_views.ViewsOfObject(views, 1))


def _write_state(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "metrics.json").write_text('{"psnr": {"value": 3.5, "unit": "dB", "n": 2}}')
    (folder / "a.cost.json").write_text('{"seconds": 3.0, "peak_memory_mb": 100.0}')
    (folder / "SHA256SUMS").write_text("0" * 64 + "  0001.lock\n")
    note_failure(folder, "a", "it crashed", ["a line", "another"])
    (folder / "0123456789abcdef").mkdir()
    jobs.Job(folder / "0123456789abcdef", "0123456789abcdef", "k", "quick", ("--x",), "a", "b").save().end("done")
    (folder / "work").mkdir()
    job = Job("a", folder, {}, folder / "work")
    job.losses.take(1, 3, 0.5)
    job.note_elapsed()


STATED = ("png", "glb", "ply", "obj", "mp4")
STATE_FILES = ("a/metrics.json", "a.cost.json", ".work/a/failure.json", "0123456789abcdef/job.json",
               "0123456789abcdef/outcome.json", "work/elapsed.json")  # fmt: skip
NEWER = {
    **{f"splats: {ending}": _splats(ending) for ending in WRITERS},
    "splats of a stage": Reader(
        lambda f: splats.save_splats(f, SplatsField(_some_splats(), orbit_cameras(ring(2), 4, 4))),
        {"field.json": changed_json, "field.safetensors": changed_tensors},
        splats.check_splats,
    ),
    "LoRA": Reader(_write_lora, {"a.safetensors": changed_tensors}, _read_lora),
    "learned_embeds": Reader(
        lambda f: save_file({"<a-cat>": torch.zeros(2, 4)}, f / SHARED), {SHARED: changed_tensors}, load_concept
    ),
    "sweeps: csv": _sweep("csv", 'name,prompt,coarse_nerf.steps\na,"a cup, red",3\nb,a hat,4\n'),
    "sweeps: jsonl": _sweep("jsonl", '{"name": "a", "prompt": "a cup"}\n{"name": "b", "coarse_nerf.steps": 3}\n'),
    "sweeps: yaml": _sweep(
        "yaml", "method: quick\nrows:\n- {name: a, prompt: a cup}\ngrid:\n  seed: [0, 1]\n"
    ),
    "statements in files": Reader(
        _write_stated,
        dict.fromkeys([f"a.{ending}" for ending in STATED], changed_bytes),
        each(*(lambda f, e=e: read_statement((f / f"a.{e}").read_bytes()) for e in STATED)),
    ),
    "meshes of stages": Reader(
        _write_meshes,
        {"mesh.ply": changed_bytes, "mesh.obj": changed_text, "placement.json": changed_json, "mesh.png": changed_bytes,
         "mesh.glb": changed_bytes},
        each(meshes.load_mesh, load_painted, meshes.check_textured_mesh, lambda f: meshes.load_base_texture(f, 4)),
    ),
    "textures of stages": Reader(
        _write_textures,
        {"latent/texture.safetensors": changed_tensors, "partial/texture.safetensors": changed_tensors},
        each(
            lambda f: textures.load_latent_texture(f / "latent"),
            lambda f: textures.load_partial_texture(f / "partial"),
        ),
    ),
    "shapes of stages": Reader(
        lambda f: shape_guide.save_shape_guide(f, ShapeGuide(torch.zeros(2, 2, 2, 2), 1.0)),
        {"guide.safetensors": changed_tensors},
        shape_guide.load_shape_guide,
    ),
    "captions, completions, cameras, prompts": Reader(
        _write_notes,
        {"caption.json": changed_json, "completion.json": changed_json, "camera.txt": changed_text,
         "prompt.txt": changed_text},
        each(captions.load_caption, completions.load_completion, lambda f: texts.load_camera_text(f / "camera.txt"),
             lambda f: texts.check_prompt(f / "prompt.txt")),
    ),
    "drawn views": Reader(
        _write_views, {"views.json": changed_json, "views.safetensors": changed_tensors}, drawn_views.load_drawn_views
    ),
    "state of runs and jobs": Reader(
        _write_state,
        {**dict.fromkeys(STATE_FILES, changed_json), "SHA256SUMS": changed_text},
        each(lambda f: read_results(f, "a"), read_sums, read_failures, lambda f: Job("a", f, {}, f / "work"),
             lambda f: [g(jobs.read_job(f / "0123456789abcdef")) for g in (lambda job: job and job.state(),)]),
    ),
    "--set values": Reader(
        lambda f: (f / "value").write_text("[1, 2.5, 'a', {b: 2026-01-01}]"),
        {"value": changed_text},
        lambda f: yaml_text.load((f / "value").read_bytes().decode("utf-8", "replace")),
        (yaml.YAMLError,),
    ),
}  # fmt: skip
