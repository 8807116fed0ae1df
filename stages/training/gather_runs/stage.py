"""The body of training.gather_runs; the package says what it takes, gives and is set by."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prior3d.cameras import orbit_cameras
from prior3d.errors import Prior3dError
from prior3d.meshes.raster import render_mesh
from prior3d.toyworld.captions import sample_views
from prior3d.toyworld.renders import toy_orbit
from stages.artifacts.base import write_json
from stages.artifacts.meshes import load_textured_mesh
from stages.contract.job import Job
from stages.contract.yaml_text import read_mapping
from stages.training.gather_runs import FOLDER, HELD_OUT_EVERY, Params

MESH_STAGE = "texture_baking"
FROM_WORDS = frozenset({"prompt", "prior", "joint_prior", "scorer"})  # inputs of a run whose mesh the prompt describes
FEWEST = 2  # one to train on, one to measure on


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
        name: of the run.
        prompt: what it was asked for.
        digest: of its textured mesh, as DVC knows it.
        mesh: the folder with the mesh.
    """

    name: str
    prompt: str
    digest: str
    mesh: Path


def run(job: Job, params: Params) -> None:
    """Find, render, write."""
    found = finished_runs(job.run_folder / "data" / "runs")
    if len(found) < FEWEST:
        raise Prior3dError(
            f"{job.name}: {len(found)} finished runs from a prompt in data/runs, but {FEWEST} are needed; make some: "
            'prior3d run quick --prompt "a red mug"'
        )
    folder = job.run_folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    held_out = [index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 or index == len(found) - 1 for index in range(len(found))]
    for split, wanted in (("train", False), ("held-out", True)):
        own = [each for each, out in zip(found, held_out, strict=True) if out == wanted]
        rows = [views_of(each, index, params, job) for index, each in enumerate(own)]
        for name, part in (("rgba", 0), ("views", 1)):
            np.save(folder / f"{split}.{name}.npy", np.concatenate([row[part] for row in rows]))
        (folder / f"{split}.captions.json").write_text(json.dumps([each.prompt for each in own]), encoding="utf-8")
    write_json(folder / "found.json", {each.digest: {"run": each.name, "prompt": each.prompt} for each in found})


def finished_runs(folder: Path) -> list[Finished]:
    """The runs from words alone that have a textured mesh, each mesh once, in the order of their digests."""
    found: dict[str, Finished] = {}
    for run_folder in sorted(path.parent for path in folder.glob("*/dvc.lock")):
        asked = read_mapping(run_folder / "method.yaml", optional=True).get("inputs", {})
        outputs = read_mapping(run_folder / "dvc.lock").get("stages", {}).get(MESH_STAGE, {}).get("outs", [])
        digests = [str(out["md5"]) for out in outputs if out["path"] == MESH_STAGE]
        if not digests or "prompt" not in asked or not asked.keys() <= FROM_WORDS:
            continue
        digest, mesh = digests[0], run_folder / MESH_STAGE
        if (mesh / "mesh.glb").is_file():
            found.setdefault(digest, Finished(run_folder.name, asked["prompt"]["text"], digest, mesh))
    return [found[digest] for digest in sorted(found)]


def views_of(finished: Finished, index: int, params: Params, job: Job) -> tuple[NDArray, NDArray]:
    """Premultiplied images [views, size, size, 4] uint8 of a mesh, and azimuths and elevations [views, 2]."""
    azimuth_deg, elevation_deg = sample_views(np.random.default_rng([params.seed, index]), params.views)
    cameras = orbit_cameras(toy_orbit(azimuth_deg, elevation_deg), params.size, params.size)
    images = render_mesh(load_textured_mesh(finished.mesh), cameras, background=0.0)
    rgba = np.concatenate([images.rgb, images.mask[..., None]], axis=-1)
    job.progress(index + 1, index + 1, text=f"{finished.name}: {finished.prompt}")
    return np.round(rgba * 255).astype(np.uint8), np.stack([azimuth_deg, elevation_deg], axis=1).astype(np.float32)
