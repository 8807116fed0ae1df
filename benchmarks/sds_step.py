"""What a step of score distillation costs, part by part: `python benchmarks/sds_step.py [--prior FOLDER]`.

The baseline is Latent-NeRF's step on latents; beside it, distilling RGB renders through the prior's encoder.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.devices import choose_device
from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.loading import load_text_to_image
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.sds import Guidance
from prior3d.fields import FieldConfig, ObjectField
from prior3d.rendering import render

VIEWS, SAMPLES, GUIDANCE_SCALE = 4, 48, 10.0
PARTS = ("render", "encode", "UNet", "backward")


def step(prior: TextToImagePrior, field: ObjectField, guidance: Guidance, rgb: bool) -> dict[str, float]:
    """One step's seconds by part, of processor time on the CPU, of the clock on a GPU."""
    on_cpu = prior.device.type == "cpu"
    spent: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        if not on_cpu:
            torch.cuda.synchronize()
        started = time.process_time() if on_cpu else time.monotonic()
        result = work()
        if not on_cpu:
            torch.cuda.synchronize()
        spent[name] = (time.process_time() if on_cpu else time.monotonic()) - started
        return result

    size = prior.image_size if rgb else prior.latent_size
    cameras = orbit_cameras(ring(VIEWS, 15, 3.2, 40), size, size).to(prior.device)
    samples = torch.Generator().manual_seed(0)
    seen = timed("render", lambda: render(field, cameras, SAMPLES, samples)).features.movedim(-1, 1)
    latents = timed("encode", lambda: prior.encode(seen)) if rgb else seen
    at = torch.full((VIEWS,), prior.n_timesteps // 2, device=prior.device)
    noise = torch.randn_like(latents)
    noisy = prior.add_noise(latents, noise, at).detach()
    predicted = timed(
        "UNet", lambda: prior.predict(noisy, at, guidance.text, guidance.null_text, guidance.scale, guidance.camera)
    )
    timed("backward", lambda: ((predicted - noise) * latents).mean().backward())
    field.zero_grad()
    return spent


def median_step(prior: TextToImagePrior, rgb: bool, n_steps: int) -> dict[str, float]:
    """The median milliseconds of each part."""
    head, channels = ("rgb", 3) if rgb else ("latent", prior.latent_channels)
    field = ObjectField(FieldConfig(head=head, channels=channels), torch.Generator().manual_seed(0)).to(prior.device)
    guidance = Guidance(prior.embed(["a blue mug"]), prior.embed([""]), GUIDANCE_SCALE)
    step(prior, field, guidance, rgb)
    steps = [step(prior, field, guidance, rgb) for _ in range(n_steps)]
    return {part: 1000 * statistics.median(s.get(part, 0.0) for s in steps) for part in PARTS}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", type=Path, help="a diffusers folder (default: the embedded toy prior)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    device = choose_device(args.device)
    prior = load_text_to_image(args.prior or embedded_prior("toy"), device)
    rows = {name: median_step(prior, rgb, args.steps) for name, rgb in (("latent SDS", False), ("RGB SDS", True))}
    baseline = sum(rows["latent SDS"].values())
    clock = "processor time" if device.type == "cpu" else "time"
    print(f"ms of {clock} a step; {VIEWS} views, latents {prior.latent_size}², images {prior.image_size}², on {device}")
    print(f"{'':12}" + "".join(f"{part:>10}" for part in (*PARTS, "total", "ratio")))
    for name, parts in rows.items():
        total = sum(parts.values())
        print(f"{name:12}" + "".join(f"{v:10.1f}" for v in (*parts.values(), total)) + f"{total / baseline:10.2f}")


if __name__ == "__main__":
    main()
