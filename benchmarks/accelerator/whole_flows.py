"""Whole flows by their command line, alone and four at once; and every method with a prior of full size."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from accelerator.random_priors import write_random_prior
from accelerator.table import Table
from prior3d.cameras import orbit_cameras, ring, to_nerfstudio
from prior3d.images.files import write_png
from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.renders import render_toy

ROOT = Path(__file__).resolve().parents[2]
N_CAPTURED = 24
FIRST_STEPS = {  # of stages that optimise: enough to see their memory, too few for a result
    "coarse_nerf.steps": 40, "rgb_refinement.steps": 25, "image_nerf.steps": 30, "latent_paint.steps": 25,
    "texture_refinement.steps": 25, "textual_inversion.steps": 5, "dataset_update.steps": 20,
    "inpainting.inpaint.num_inference_steps": 2, "view_distillation.steps": 20,
}  # fmt: skip
TINY = {
    "coarse_nerf.steps": 2, "coarse_nerf.n_samples": 16, "rgb_refinement.steps": 2, "rgb_refinement.n_samples": 12,
    "rgb_refinement.refresh.n_views": 4, "rgb_refinement.refresh.num_inference_steps": 1,
    "textual_inversion.steps": 2, "inpainting.inpaint.num_inference_steps": 1, "inpainting.inpaint.supersampling": 1,
    "inpainting.views.azimuth_step_deg": 180, "texture_refinement.steps": 2, "texture_refinement.resolution": 32,
    "texture_refinement.refresh.n_views": 4, "texture_projection.resolution": 32, "view_features.n_views": 4,
    "image_nerf.field.completion.steps": 3, "view_distillation.steps": 3,
    "view_fit.steps": 3, "view_fit.posed_steps": 3,
    "scene_fit.steps": [30, 30], "scene_fit.resolutions": [9, 17], "scene_fit.rendering.rays_per_step": 256,
    "scene_fit.rendering.n_bins": 12, "capture_path.frames": 3, "capture_path.longest_side": 32,
    "mesh_extraction.resolution": 24, "mesh_extraction.n_azimuths": 3, "texture_baking.resolution": 64,
    "evaluation.n_azimuths": 2, "evaluation.size": 32, "evaluation.n_samples": 16, "evaluation.video_frames": 2,
    "evaluation.video_size": 32, "coarse_nerf.check.accept": True, "rgb_refinement.check.accept": True,
    "view_distillation.check.accept": True, "image_nerf.check.accept": True,
}  # fmt: skip


class Project:
    """A project of its own, in which nothing is cached."""

    def __init__(self, folder: Path, device: torch.device, tiny: bool) -> None:
        self.folder, self.device, self.tiny = folder, device, tiny
        folder.mkdir(parents=True)
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        made = [sys.executable, "-m", "flows.cli", "init"]
        subprocess.run(made, cwd=folder, env=environment, capture_output=True, check=True)
        write_inputs(folder / "given", 32 if tiny else 200)

    def words(self, method: str) -> list[str]:
        """What a method of the table is given."""
        given = self.folder / "given"
        return {
            "latent-nerf": ["--prompt", "a red mug"],
            "make-it-3d": ["--image", str(given / "image.png")],
            "sparsefusion": ["--images", str(given / "posed")],
            "scene": ["--scene", str(given / "capture")],
        }[method]

    def run(self, method: str, name: str, words: list[str], sets: dict[str, object]) -> tuple[float, str]:
        """Seconds of one command, and which stages took longest, with their GPU memory."""
        command = [sys.executable, "-m", "flows.cli", "run", method, *words, "--name", name]
        # A tiny run is a test of these lines: without Prefect's server.
        command += ["--device", "auto" if self.device.type == "cuda" else "cpu", *(["--plain"] if self.tiny else [])]
        present = known_stages(method)
        for key, value in sets.items():
            if key.partition(".")[0] in present:
                command += ["--set", f"{key}={json.dumps(value)}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        seconds = time.monotonic() - started
        if done.returncode:
            raise RuntimeError(" | ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]))
        return seconds, self.longest(name)

    def longest(self, name: str) -> str:
        """The two longest stages of a run, and the most GPU memory of one."""
        costs = {}
        for file in (self.folder / "data" / "runs" / name).glob("*.cost.json"):
            costs[file.name.removesuffix(".cost.json")] = json.loads(file.read_text())
        two = sorted(costs, key=lambda stage: -costs[stage]["seconds"])[:2]
        told = [f"{stage} {costs[stage]['seconds']:.1f} s" for stage in two]
        memory = {stage: cost["peak_gpu_memory_mb"] for stage, cost in costs.items() if "peak_gpu_memory_mb" in cost}
        if memory:
            most = max(memory, key=lambda stage: memory[stage])
            told.append(f"most GPU memory: {most} {memory[most] / 1024:.2f} GiB")
        return ", ".join(told)


def known_stages(method: str) -> set[str]:
    """The stages that a method has without options."""
    from flows.methods import METHODS

    return {stage.name for stage in METHODS[method].with_stages(()).stages}


def write_inputs(folder: Path, size: int) -> None:
    """An image, five posed images and a capture of one toy object."""
    toy = sample_object(seed=0, index=0)
    for name, n_views in (("posed", 5), ("capture", N_CAPTURED)):
        cameras = orbit_cameras(ring(n_views, 20.0), size, size)
        found = render_toy(toy, cameras)
        (folder / name / "images").mkdir(parents=True)
        paths = [f"images/{view}.png" for view in range(n_views)]
        for view, path in enumerate(paths):
            colours, mask = found.rgb[view], found.mask[view]
            straight = colours / np.maximum(mask, 1e-3)[..., None]
            rgba = np.concatenate([straight.clip(0, 1), mask[..., None]], -1)
            write_png(folder / name / path, rgba)
            if name == "posed" and view == 0:
                write_png(folder / "image.png", rgba)
        (folder / name / "transforms.json").write_text(json.dumps(to_nerfstudio(cameras, paths)))


def measure_flows(table: Table, place: Path, tiny: bool) -> None:
    """The four flows of the table, one after the other, then at once."""
    sets = TINY if tiny else {}
    alone = Project(place / "alone", table.device, tiny)
    methods = ("latent-nerf", "make-it-3d", "sparsefusion", "scene")
    for method in methods:
        table.measure("flows", f"{method}, toy, alone", "s", lambda m=method: alone.run(m, m, alone.words(m), sets))
    together = Project(place / "together", table.device, tiny)

    def at_once() -> tuple[float, str]:
        started = time.monotonic()
        with ThreadPoolExecutor(len(methods)) as pool:
            list(pool.map(lambda m: together.run(m, m, together.words(m), sets), methods))
        spent = time.monotonic() - started
        one_by_one = sum(table.found(f"{m}, toy, alone") or 0.0 for m in methods)
        return spent, f"throughput {one_by_one / spent:.2f} x one after the other" if one_by_one else ""

    table.measure("flows", "the four at once", "s", at_once)


def measure_methods(table: Table, place: Path, folder: Path, tiny: bool) -> None:
    """Memory at the prior's size, paper preset: the first steps of the methods that ask a text-to-image prior."""
    project = Project(place / "methods", table.device, tiny)
    holes = write_random_prior(place / "inpainting", table.device, tiny=tiny, role="inpainting")
    edits = write_random_prior(place / "instruct", table.device, tiny=tiny, role="instruct")
    prior, scorer, given = ["--prior", str(folder)], ["--scorer", "toy-scorer"], project.folder / "given"
    image, inpainting = ["--image", str(given / "image.png")], ["--inpainting-prior", str(holes)]
    asked = {
        "latent-nerf": ["--prompt", "a red mug", *prior],
        "realfusion": [*image, *prior, *scorer],
        "make-it-3d": [*image, *prior, *inpainting, *scorer],
        "instruct-nerf2nerf": ["--scene", str(given / "capture"), "--instruction", "red", "--prior", str(edits)],
    }
    stop = {"latent-nerf": "rgb_refinement", "realfusion": "image_nerf", "make-it-3d": "texture_refinement"}
    for method, words in asked.items():
        end = stop.get(method, "dataset_update")
        accept = {f"{stage}.check.accept": True for stage in ("coarse_nerf", "rgb_refinement", "image_nerf")}
        sets = (FIRST_STEPS | accept) | (TINY | {"image_nerf.steps": 3, "dataset_update.steps": 2} if tiny else {})
        words = [*words, "--preset", "paper", "--stop-after", end]
        table.measure(
            "methods",
            f"{method}, paper, first steps",
            "s",
            lambda m=method, w=words, s=sets: project.run(m, m, w, s),
        )
