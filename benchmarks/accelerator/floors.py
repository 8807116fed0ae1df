"""Floors: what frozen networks and the field's lookups take by themselves."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from accelerator.table import Table, begin_memory, milliseconds, peak_memory
from prior3d.cameras import orbit_cameras, ring
from prior3d.diffusion.text_to_image import TextToImagePrior, load_text_to_image
from prior3d.fields import FieldConfig, ObjectField, TiledGrid
from prior3d.fields.tiled import TiledLookup, tiled_lookup_reference
from prior3d.rendering import render
from prior3d.seeds import Seeds

PAIR, EIGHT = "U-Net pair, 16 bit, graph", "U-Net batch 8, 16 bit, graph"
ENCODER = "VAE encode and backward, 16 bit, graph"


def measure_floors(table: Table, folder: Path, tiny: bool) -> None:
    """Networks in 16 and 32 bits, eagerly and by graphs; lookups; one rendering there and back."""
    device, n = table.device, 2 if tiny else 20
    half = torch.float16 if device.type == "cuda" else torch.float32
    for dtype, bits in ((torch.float32, "32 bit"), (half, "16 bit")):
        prior = load_text_to_image(folder, device, dtype)
        for graph in (False, True) if bits == "16 bit" else (False,):
            how = f"{bits}, graph" if graph else f"{bits}, eager"
            prior.diffusion.unet_calls.capturing = graph and device.type == "cuda"
            table.measure("floors", f"U-Net pair, {how}", "ms", partial(unet, table, prior, 2, n))
            if bits == "16 bit":
                table.measure("floors", f"U-Net batch 8, {how}", "ms", partial(unet, table, prior, 8, n))
            if not graph:
                table.measure("floors", f"VAE encode, {how}", "ms", partial(encoder, table, prior, False, n))
            prior.diffusion.encoder_calls.capturing = graph and device.type == "cuda"
            table.measure("floors", f"VAE encode and backward, {how}", "ms", partial(encoder, table, prior, True, n))
        del prior
    measure_field(table, tiny, n)


def unet(table: Table, prior: TextToImagePrior, batch: int, n: int) -> tuple[float, str]:
    """One call, without guidance, of a batch; a pair is one view with guidance."""
    device, diffusion = table.device, prior.diffusion
    size = prior.latent_size
    seen = torch.randn(batch, diffusion.unet.config.in_channels, size, size, device=device)
    timesteps = torch.full((batch,), 500, device=device)
    text = torch.randn(batch, 77, diffusion.unet.config.cross_attention_dim, device=device)
    begin_memory(device)

    @torch.no_grad()
    def call() -> None:
        diffusion.network(seen, timesteps, text)

    milliseconds(call, device, 1)  # a graph is captured in the third call
    return milliseconds(call, device, n), peak_memory(device)


def encoder(table: Table, prior: TextToImagePrior, backward: bool, n: int) -> tuple[float, str]:
    """One view of the prior's size."""
    images = torch.rand(1, 3, prior.image_size, prior.image_size, device=table.device, requires_grad=backward)
    begin_memory(table.device)

    def call() -> None:
        with torch.set_grad_enabled(backward):
            latents = prior.encode(images)
        if backward:
            latents.sum().backward()

    milliseconds(call, table.device, 1)
    return milliseconds(call, table.device, n), peak_memory(table.device)


def measure_field(table: Table, tiny: bool, n: int) -> None:
    """The paper's tiled grid: lookups alone, then a rendering of one view there and back."""
    device, n_points = table.device, 2**10 if tiny else 2**18
    grid = TiledGrid(log2_entries=10 if tiny else 19)
    field = ObjectField(FieldConfig(encoding=grid, hidden=64)).to(device)
    tables, cells = list(field.encoding.tables), tuple(field.encoding.cells)
    points = torch.rand(n_points, 3, device=device) * 2 - 1
    floor = n_points * grid.levels * 8 * 2 * 4 / 2**20
    ways: list[tuple[str, Callable[..., Any]]] = [
        ("one kernel" if device.type == "cuda" else "points kept", lambda: TiledLookup.apply(points, cells, *tables)),
        ("reference", lambda: tiled_lookup_reference(points, tables, cells)),
    ]
    for name, look_up in ways:
        for backward in (False, True):
            what = f"tiled lookup of {n_points} points, {name}" + (", and backward" if backward else "")

            def call(look_up: Callable[..., Any] = look_up, backward: bool = backward) -> None:
                found = look_up()
                if backward:
                    found.sum().backward()

            def work(call: Callable[[], None] = call) -> tuple[float, str]:
                begin_memory(device)
                return milliseconds(call, device, n), f"reads {floor:.0f} MiB; {peak_memory(device)}".rstrip("; ")

            table.measure("floors", what, "ms", work)
    side, n_samples = (8, 32) if tiny else (64, 512)
    for placed in (64, 0):
        what = f"{side}² rays x {placed or n_samples} samples there and back" + (" (of 512)" if placed else "")
        table.measure("floors", what, "ms", lambda placed=placed: rendering(table, grid, placed, side, n_samples, n))


def rendering(table: Table, grid: TiledGrid, placed: int, side: int, n_samples: int, n: int) -> tuple[float, str]:
    """One view of a field at its start, as the paper preset has it, with its occupancy grid."""
    config = FieldConfig(
        encoding=grid, hidden=64, ball_radius=1.75, near_plane=0.2, occupancy_resolution=16 if side < 64 else 128,
        occupied_samples=placed,
    )  # fmt: skip
    field, seeds = ObjectField(config).to(table.device), Seeds(0)
    field.update_occupancy(0, seeds.generator)
    cameras = orbit_cameras(ring(1, radius=1.25, fov_deg=55.0), side, side).to(table.device)
    begin_memory(table.device)

    def call() -> None:
        found = render(field, cameras, n_samples, seeds.generator("samples", table.device))
        (found.features.mean() + found.opacity.mean()).backward()

    return milliseconds(call, table.device, n), peak_memory(table.device)
