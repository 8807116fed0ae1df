"""Where splats begin: on COLMAP's points, or on the surfaces of a short fit of the grid."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from prior3d.captures.pixels import PixelSampler
from prior3d.captures.posed import PosedViews
from prior3d.errors import Prior3dError
from prior3d.fields.scene_field import SceneField
from prior3d.rendering.scene import render_scene_rays
from prior3d.seeds import Seeds
from stages.artifacts.capture import load_points
from stages.contract.job import Job, Stopped
from stages.scene_fit import Params

FitGrid = Callable[[Job, Params, PosedViews, PixelSampler], SceneField | None]
LEAST_POINTS = 100  # fewer say too little of where things are
FEWER_RAYS = 4  # a coarse shape needs few, and the splats need the time
OPAQUE, RAYS_AT_ONCE, MOST_ROUNDS = 0.5, 4096, 64


def starting_points(
    job: Job, params: Params, views: PosedViews, training: list[int], n_points: int, fit_grid: FitGrid
) -> tuple[Tensor, Tensor] | None:
    """Places and colours [n, 3] that splats begin on; None: at random.

    What `auto` takes won at equal seconds: points over the grid, and the grid over chance (docs/results/scenes.md).

    Raises:
        Prior3dError: points are asked for, and the capture has too few.
        Stopped: the job was asked to stop while the grid was fitted.
    """
    start = params.splats.start
    if start in ("points", "auto"):
        found = load_points(job.inputs["images"])
        n_found = 0 if found is None else len(found[0])
        if n_found >= LEAST_POINTS:
            return found
        if start == "points":
            raise Prior3dError(
                f"scene_fit.splats.start is points, but the capture has {n_found} of them, {LEAST_POINTS} are needed; "
                "give a capture in COLMAP's layout or --photos, or leave it at auto"
            )
    if start == "random":
        return None
    found = grid_points(job, params, views, training, n_points, fit_grid)
    if start == "auto" and len(found[0]) < LEAST_POINTS:
        text = f"warning: a short fit of the grid found {len(found[0])} surface points; the splats begin at random"
        job.progress(0, sum(params.splats.steps), text=text)
        return None
    return found


def grid_points(
    job: Job, params: Params, views: PosedViews, training: list[int], n_points: int, fit_grid: FitGrid
) -> tuple[Tensor, Tensor]:
    """Points where random rays meet the surfaces of a coarse grid, with the photos' colours."""
    rendering = replace(params.rendering, rays_per_step=max(1, params.rendering.rays_per_step // FEWER_RAYS))
    coarse = params.model_copy(
        update={
            "resolutions": params.resolutions[:1],
            "steps": (params.splats.grid_steps,),
            "rendering": rendering,
        }
    )
    store = PixelSampler(views, training, job.work / "pixels.npy")
    field = fit_grid(job, coarse, views, store)
    if field is None:
        raise Stopped
    found = met_points(field, store, n_points, params.rendering.n_bins, Seeds(params.seed).generator("surface"))
    store.remove()
    return found


@torch.no_grad()
def met_points(
    field: SceneField, store: PixelSampler, n_points: int, n_bins: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Places and colours [n, 3], at most `n_points`, of random pixels that show a surface."""
    places, colours, n_found = [], [], 0
    device = field.rows.device
    for _ in range(MOST_ROUNDS):
        origins, directions, shown, masks, _ = store.draw(RAYS_AT_ONCE, generator)
        seen = render_scene_rays(field, origins.to(device), directions.to(device), n_bins)
        met = (seen.opacity.cpu() > OPAQUE) & (masks > OPAQUE)
        places.append((origins + directions * seen.depth.cpu()[:, None])[met])
        colours.append(shown[met])
        n_found += int(met.sum())
        if n_found >= n_points:
            break
    return torch.cat(places)[:n_points], torch.cat(colours)[:n_points]
