"""What a step of score distillation costs, part by part: `python benchmarks/sds_step.py [--prior FOLDER]`.

It times the step that the stages take (`prior3d.distillation.sds`). The baseline is Latent-NeRF's step on latents;
beside it, distilling RGB renders through the prior's encoder.
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
from results import add_write_option, markdown_table, write_results
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.devices import choose_device
from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.text_to_image import TextToImagePrior, load_text_to_image
from prior3d.distillation.sds import ScoreDistillation
from prior3d.distillation.view_sampler import ViewBatch, ViewSampler
from prior3d.fields import FieldConfig, ObjectField
from prior3d.rendering import render
from prior3d.seeds import Seeds
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings

VIEWS, SAMPLES, GUIDANCE_SCALE = 4, 48, 10.0
PARTS = ("render", "encode", "UNet", "backward")


class Stopwatch:
    """Seconds by part: of processor time on the CPU, of the clock on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.spent = device, dict[str, float]()

    def now(self) -> float:
        """The time, once a GPU has done what it was asked."""
        if self.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.monotonic()

    def timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which adds what it takes to a part."""

        def wrapped(*args: Any, **named: Any) -> Any:
            started = self.now()
            result = work(*args, **named)
            self.spent[part] = self.spent.get(part, 0.0) + self.now() - started
            return result

        return wrapped


def median_step(prior: TextToImagePrior, views: ViewSampler, rgb: bool, n_steps: int) -> dict[str, float]:
    """The median milliseconds of each part; one step before is not counted."""
    head, channels = ("rgb", 3) if rgb else ("latent", prior.latent_channels)
    field = ObjectField(FieldConfig(head=head, channels=channels), torch.Generator().manual_seed(0)).to(prior.device)
    seeds, watch = Seeds(0), Stopwatch(prior.device)
    distil = ScoreDistillation(views, seeds, SdsSettings(guidance_scale=GUIDANCE_SCALE), "image" if rgb else "latent")

    def render_views(cameras: Cameras, batch: ViewBatch) -> Tensor:
        return render(field, cameras, SAMPLES, seeds.generator("samples")).features.movedim(-1, 1)

    encode, predict = prior.encode, views.predict
    prior.encode, views.predict = watch.timed("encode", encode), watch.timed("UNet", predict)  # type: ignore
    steps = []
    for _ in range(n_steps + 1):
        watch.spent.clear()
        loss = distil(watch.timed("render", render_views), 0.5).loss
        watch.timed("backward", loss.backward)()
        field.zero_grad()
        steps.append(dict(watch.spent))
    prior.encode, views.predict = encode, predict  # type: ignore
    return {part: 1000 * statistics.median(step.get(part, 0.0) for step in steps[1:]) for part in PARTS}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", type=Path, help="a diffusers folder (default: the embedded toy prior)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=10)
    add_write_option(parser, "sds_step", "speed")
    args = parser.parse_args()
    device = choose_device(args.device)
    prior = load_text_to_image(args.prior or embedded_prior("toy"), device)
    views = ViewSampler(
        prior, "a blue mug", ViewSettings(per_step=VIEWS), PromptSettings(), GUIDANCE_SCALE, named_backgrounds=True
    )
    rows = {
        name: median_step(prior, views, rgb, args.steps) for name, rgb in (("latent SDS", False), ("RGB SDS", True))
    }
    baseline = sum(rows["latent SDS"].values())
    clock = "processor time" if device.type == "cpu" else "time"
    told = f"ms of {clock} a step; {VIEWS} views, latents {prior.latent_size}², images {prior.image_size}², on {device}"
    print(told)
    print(f"{'':12}" + "".join(f"{part:>10}" for part in (*PARTS, "total", "ratio")))
    table = []
    for name, parts in rows.items():
        total = sum(parts.values())
        cells = [f"{v:.1f}" for v in (*parts.values(), total)] + [f"{total / baseline:.2f}"]
        print(f"{name:12}" + "".join(f"{cell:>10}" for cell in cells))
        table.append([name, *cells])
    if args.write:
        text = markdown_table(["", *PARTS, "total", "ratio"], table)
        write_results(args.write, "sds_step", f"{told}:\n\n{text}", str(device))


if __name__ == "__main__":
    main()
