"""A grid that is fitted to pixels of the edited images (Haque et al. 2023, section 3.2), or to a prior's score."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.dataset_update.captured_views import CapturedView
from prior3d.dataset_update.edit_scene import SceneEdit
from prior3d.dataset_update.edited_grid import EditedGrid
from prior3d.dataset_update.edited_images import EditedViews
from prior3d.dataset_update.schedule import views_due
from prior3d.dataset_update.surfaces import surfaces_now
from prior3d.diffusion.perceptual import load_perceptual
from prior3d.fields.scene_field import SceneField, grid_total_variation
from prior3d.optimisation import adam, decay
from prior3d.rendering import rays
from prior3d.rendering.scene import render_scene_rays
from prior3d.seeds import Seeds
from prior3d.sending import sent
from stages.artifacts.fields import save_field
from stages.dataset_update import Params
from stages.dataset_update.fitting import Fit, Losses, Update, distillation

DIVERGED = "lower dataset_update.optimiser.learning_rate or dataset_update.optimiser.density_learning_rate"
BINS_SHOWN = 64  # of the last preview and of the metric, whatever the fit was rendered with


def grid_fit(params: Params, seeds: Seeds, field: SceneField, dataset: EditedViews) -> Fit:
    """A field, fitted to random pixels."""
    n_bins, iterative = params.rendering.n_bins, params.variant == "iterative"
    grid = EditedGrid(field, surfaces_now(field, dataset.cameras, n_bins), n_bins)
    build = sds_losses if params.variant == "sds" else fitting_losses
    return Fit(
        scene=grid,
        shown_by=replace(grid, n_bins=BINS_SHOWN),
        build_losses=lambda edit, update: build(edit, grid, params, seeds, update),
        optimiser=adam(parameter_groups(field, params), params.optimiser, fused=True),
        n_steps=1 if params.variant == "per_frame" else params.steps,
        round_steps=dataset.n_views * params.edit_every,
        views_due=lambda step: views_due(
            step, dataset.n_views, params.edit_every, repeatedly=iterative, together=params.consensus.enabled
        ),
        learning_rate_factor=decay(params.optimiser),
        save=lambda folder: save_field(folder, field),
        advice=DIVERGED,
    )


def parameter_groups(field: SceneField, params: Params) -> list[dict]:
    """Groups of Adam's parameters; edits of single images fit no field."""
    moves = params.variant != "per_frame"
    return [
        {"params": [field.density_logits], "lr": params.optimiser.density_learning_rate * moves},
        {"params": [field.colours, field.sky], "lr": params.optimiser.learning_rate * moves},
    ]


def fitting_losses(scene: SceneEdit, grid: EditedGrid, params: Params, seeds: Seeds, update: Update) -> Losses:
    """L1 of random pixels of the images, which `update` edits before a step."""
    dataset = scene.dataset
    origins, directions = (part.reshape(-1, 3) for part in rays(dataset.cameras))
    n_pixels = dataset.cameras.height * dataset.cameras.width
    smoothness, perceptual = smoothness_loss(grid, params, seeds), patch_loss(scene, grid, params, seeds)

    def losses(step: int) -> dict[str, Tensor]:
        update(step)
        drawn = torch.randint(len(origins), (params.rendering.rays_per_step,), generator=seeds.generator("rays"))
        drawn = sent(drawn, origins.device)
        images = dataset.pixels.view(dataset.n_views, 3, -1)
        colours = images[drawn // n_pixels, :, drawn % n_pixels].float() / 255
        rendered = render_colours(grid, params, seeds, origins[drawn], directions[drawn])
        terms = {"colour": (rendered - colours).abs().mean(), "smoothness": smoothness()}
        if perceptual is not None:
            terms["perceptual"] = perceptual()
        return terms

    return losses


def sds_losses(scene: SceneEdit, grid: EditedGrid, params: Params, seeds: Seeds, update: Update) -> Losses:
    """The instruct prior's score of whole images, one view per step."""
    distil = distillation(scene, params, seeds)
    smoothness = smoothness_loss(grid, params, seeds)

    def render_image(cameras: Cameras, batch: CapturedView) -> Tensor:
        origins, directions = (part.reshape(-1, 3) for part in rays(cameras))
        colours = render_colours(grid, params, seeds, origins, directions)
        return colours.view(1, cameras.height, cameras.width, 3).movedim(-1, 1)

    def losses(step: int) -> dict[str, Tensor]:
        update(step)
        return {"sds": distil(render_image, step / params.steps).loss, "smoothness": smoothness()}

    return losses


def smoothness_loss(grid: EditedGrid, params: Params, seeds: Seeds) -> Callable[[], Tensor]:
    """Weighted total variation at random nodes, of colours perhaps only what the edit adds."""
    field, settings = grid.field, params.smoothness
    nodes = field.active_nodes()
    start = grid.surfaces.field.colours if settings.regularise_residual else None
    return lambda: settings.weight * grid_total_variation(field, nodes, seeds.generator("nodes"), start=start)


def patch_loss(scene: SceneEdit, grid: EditedGrid, params: Params, seeds: Seeds) -> Callable[[], Tensor] | None:
    """Weighted LPIPS of a random patch of a random image; None at weight 0."""
    settings, dataset = params.perceptual, scene.dataset
    if settings.weight == 0:
        return None
    distance = load_perceptual(Path(settings.weights_file), grid.device)
    height, width = scene.editor.image_size
    side = min(settings.patch_size, height, width)

    def draw(limit: int) -> int:
        return int(torch.randint(limit, (), generator=seeds.generator("patches")))

    def loss() -> Tensor:
        view = draw(dataset.n_views)
        top, left = draw(height - side + 1), draw(width - side + 1)
        rows, columns = slice(top, top + side), slice(left, left + side)
        origins, directions = (part[0, rows, columns].reshape(-1, 3) for part in rays(dataset.cameras[view]))
        rendered = render_colours(grid, params, seeds, origins, directions).view(1, side, side, 3).movedim(-1, 1)
        return settings.weight * distance(rendered, dataset.now(view)[:, :, rows, columns])

    return loss


def render_colours(grid: EditedGrid, params: Params, seeds: Seeds, origins: Tensor, directions: Tensor) -> Tensor:
    """Colours [n, 3] of rays, with jittered samples, over the background."""
    rendered = render_scene_rays(
        grid.field,
        origins,
        directions,
        params.rendering.n_bins,
        params.rendering.samples_per_bin,
        grid.surfaces.occupied,
        seeds.generator("samples"),
        torch.full_like(origins, params.background),
    )
    return rendered.colours
