"""Ratios: whole steps of the paper preset at the prior's size, over the floors of what they cannot do without."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from accelerator.floors import EIGHT, ENCODER, PAIR
from accelerator.table import Table, begin_memory, finish, peak_memory
from prior3d.diffusion.text_to_image import TextToImagePrior, load_text_to_image
from prior3d.distillation.backgrounds import LatentBackdrop, LearnedBackground, rgb_backdrop
from prior3d.distillation.losses import Distillation
from prior3d.distillation.view_sampler import ViewSampler
from prior3d.fields import ObjectField
from prior3d.fields.start import field_config
from prior3d.optimisation import adam, optimise
from prior3d.seeds import Seeds
from stages import coarse_nerf, rgb_refinement
from stages.coarse_nerf.stage import distillation_losses
from stages.contract.parameters import check_params, merged
from stages.rgb_refinement.stage import regularisers, sds_losses

TINY = {"n_samples": 32, "field": {"tiled_log2_entries": 10, "occupancy_resolution": 16}}


class Monitor:
    """Takes the time of the steps behind the first ones, in which graphs are captured."""

    stopping = False

    def __init__(self, device: torch.device, n_first: int) -> None:
        self.device, self.n_first, self.started = device, n_first, 0.0

    def checkpoint_due(self) -> bool:
        """Never: writing is not measured."""
        return False

    def progress(self, step: int, total: int, *, loss: float | None = None) -> None:
        """Start the watch."""
        if step == self.n_first:
            finish(self.device)
            self.started = time.perf_counter()


def measure_steps(table: Table, folder: Path, tiny: bool) -> None:
    """Latent-NeRF's two stages."""
    device = table.device
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    started = time.monotonic()
    prior = load_text_to_image(folder, device, dtype)
    finish(device)
    table.measure("steps", "loading the prior", "s", lambda: time.monotonic() - started)
    for what, n_views, floors in (
        ("coarse_nerf, paper, one view", 1, (PAIR,)),
        ("latent SDS, 4 views", 4, (EIGHT,)),
    ):

        def latent(n_views: int = n_views, floors: tuple[str, ...] = floors) -> tuple[float, str]:
            value, memory = latent_step(table, folder, dtype, n_views, tiny)
            return value, "; ".join(part for part in (table.ratio(value, *floors), memory) if part)

        table.measure("steps", what, "ms", latent)

    def rgb() -> tuple[float, str]:
        value, memory = rgb_step(table, folder, dtype, tiny)
        return value, "; ".join(part for part in (table.ratio(value, PAIR, ENCODER), memory) if part)

    del prior
    table.measure("steps", "RGB SDS at the prior's size, one view", "ms", rgb)
    value = table.found("coarse_nerf, paper, one view")
    if value is not None:
        loading = table.found("loading the prior") or 0.0
        table.measure(
            "steps", "5,000 steps of coarse_nerf with loading", "s", lambda: (loading + 5 * value, "reckoned")
        )


def latent_step(table: Table, folder: Path, dtype: torch.dtype, n_views: int, tiny: bool) -> tuple[float, str]:
    """A step of coarse_nerf."""
    values = merged(coarse_nerf.PRESETS["paper"], {"views": {"per_step": n_views}})
    params = check_params(coarse_nerf.Params, merged(values, TINY if tiny else {}), "coarse_nerf")
    begin_memory(table.device)
    prior, seeds = load_text_to_image(folder, table.device, dtype), Seeds(0)
    views = sampler(prior, params)
    field = ObjectField(field_config(params.field, "latent", prior.latent_channels)).to(table.device)
    backdrop = LatentBackdrop(prior, LearnedBackground(prior.latent_channels).to(table.device))
    distil = Distillation(views, seeds, params.sds, "latent")
    losses = distillation_losses([field], backdrop, distil, seeds, params, None)
    return steps(table, field, backdrop.modules, losses, seeds, params, tiny)


def rgb_step(table: Table, folder: Path, dtype: torch.dtype, tiny: bool) -> tuple[float, str]:
    """A step of rgb_refinement whose renders have the prior's own size."""
    values = merged(rgb_refinement.PRESETS["paper"], {"sds": {"image_size": 0, "views_at_once": 0}})
    params = check_params(rgb_refinement.Params, merged(values, {"n_samples": 32} if tiny else {}), "rgb_refinement")
    of_field = check_params(
        coarse_nerf.Params, merged(coarse_nerf.PRESETS["paper"], TINY if tiny else {}), "coarse_nerf"
    )
    begin_memory(table.device)
    prior, seeds = load_text_to_image(folder, table.device, dtype), Seeds(0)
    views = sampler(prior, params)
    field = ObjectField(field_config(of_field.field, "rgb", 3)).to(table.device)
    backdrop = rgb_backdrop("learned", seeds, table.device)
    losses = sds_losses(field, backdrop, views, seeds, params, regularisers(field, seeds, params))
    return steps(table, field, backdrop.modules, losses, seeds, params, tiny)


def sampler(prior: TextToImagePrior, params: coarse_nerf.Params | rgb_refinement.Params) -> ViewSampler:
    """Views of the preset."""
    return ViewSampler(prior, "a red mug", params.views, params.prompting, params.sds, named_backgrounds=False)


def steps(
    table: Table,
    field: ObjectField,
    others: dict[str, nn.Module],
    losses: Callable[[int], dict[str, Tensor]],
    seeds: Seeds,
    params: coarse_nerf.Params | rgb_refinement.Params,
    tiny: bool,
) -> tuple[float, str]:
    """Milliseconds of a step of the loop that stages run, with occupancy and optimiser; memory at its peak."""
    n_first, n_steps = (5, 8) if tiny else (21, 101)

    def step_losses(step: int) -> dict[str, Tensor]:
        field.update_occupancy(step, seeds.generator)
        return losses(step)

    groups = [*field.parameter_groups(1e-3), *({"params": list(m.parameters()), "lr": 1e-3} for m in others.values())]
    monitor = Monitor(table.device, n_first)
    with tempfile.TemporaryDirectory() as folder:
        optimise(
            step_losses,
            modules={"field": field} | others,
            optimiser=adam(groups, params.optimiser),
            n_steps=n_steps,
            seeds=seeds,
            checkpoint=Path(folder) / "checkpoint.safetensors",
            monitor=monitor,
        )
    finish(table.device)
    return 1000 * (time.perf_counter() - monitor.started) / (n_steps - n_first), peak_memory(table.device)
