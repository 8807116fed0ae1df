"""What the field is fitted to: pixels of the edited images (Haque et al. 2023, section 3.2), or a prior's score."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.dataset_update.captured_views import CapturedView, CapturedViews, edit_distillation
from prior3d.dataset_update.edit_scene import SceneEdit
from prior3d.diffusion.perceptual import load_perceptual
from prior3d.distillation.sds import ScoreDistillation
from prior3d.fields.scene_field import grid_total_variation
from prior3d.rendering import rays
from prior3d.rendering.scene import render_scene_rays
from prior3d.seeds import Seeds
from prior3d.sending import sent
from stages.dataset_update import Params

Losses = Callable[[int], dict[str, Tensor]]


def fitting_losses(scene: SceneEdit, params: Params, seeds: Seeds, update: Callable[[int], None]) -> Losses:
    """L1 of random pixels of the images, which `update` edits before a step."""
    dataset = scene.dataset
    origins, directions = (part.reshape(-1, 3) for part in rays(dataset.cameras))
    n_pixels = dataset.cameras.height * dataset.cameras.width
    smoothness, perceptual = smoothness_loss(scene, params, seeds), patch_loss(scene, params, seeds)

    def losses(step: int) -> dict[str, Tensor]:
        update(step)
        drawn = torch.randint(len(origins), (params.rendering.rays_per_step,), generator=seeds.generator("rays"))
        drawn = sent(drawn, origins.device)
        images = dataset.pixels.view(dataset.n_views, 3, -1)
        colours = images[drawn // n_pixels, :, drawn % n_pixels].float() / 255
        rendered = render_colours(scene, params, seeds, origins[drawn], directions[drawn])
        terms = {"colour": (rendered - colours).abs().mean(), "smoothness": smoothness()}
        if perceptual is not None:
            terms["perceptual"] = perceptual()
        return terms

    return losses


def sds_losses(scene: SceneEdit, params: Params, seeds: Seeds, update: Callable[[int], None]) -> Losses:
    """Score distillation with the instruct prior, one view per step (the paper's comparison): no image is replaced."""
    distil = ScoreDistillation(
        CapturedViews(scene.editor, scene.dataset), seeds, edit_distillation(params.edit), "image"
    )
    smoothness = smoothness_loss(scene, params, seeds)

    def render_image(cameras: Cameras, batch: CapturedView) -> Tensor:
        origins, directions = (part.reshape(-1, 3) for part in rays(cameras))
        colours = render_colours(scene, params, seeds, origins, directions)
        return colours.view(1, cameras.height, cameras.width, 3).movedim(-1, 1)

    def losses(step: int) -> dict[str, Tensor]:
        update(step)
        return {"sds": distil(render_image, step / params.steps).loss, "smoothness": smoothness()}

    return losses


def smoothness_loss(scene: SceneEdit, params: Params, seeds: Seeds) -> Callable[[], Tensor]:
    """Weighted total variation at random nodes, of colours perhaps only what the edit adds."""
    field, settings = scene.field, params.smoothness
    nodes = field.active_nodes()
    start = scene.surfaces.field.colours if settings.regularise_residual else None
    return lambda: settings.weight * grid_total_variation(field, nodes, seeds.generator("nodes"), start=start)


def patch_loss(scene: SceneEdit, params: Params, seeds: Seeds) -> Callable[[], Tensor] | None:
    """Weighted LPIPS of a random patch of a random image; None at weight 0."""
    settings, dataset = params.perceptual, scene.dataset
    if settings.weight == 0:
        return None
    distance = load_perceptual(Path(settings.weights_file), scene.field.rows.device)
    height, width = scene.editor.image_size
    side = min(settings.patch_size, height, width)

    def draw(limit: int) -> int:
        return int(torch.randint(limit, (), generator=seeds.generator("patches")))

    def loss() -> Tensor:
        view = draw(dataset.n_views)
        top, left = draw(height - side + 1), draw(width - side + 1)
        rows, columns = slice(top, top + side), slice(left, left + side)
        origins, directions = (part[0, rows, columns].reshape(-1, 3) for part in rays(dataset.cameras[view]))
        rendered = render_colours(scene, params, seeds, origins, directions).view(1, side, side, 3).movedim(-1, 1)
        return settings.weight * distance(rendered, dataset.now(view)[:, :, rows, columns])

    return loss


def render_colours(scene: SceneEdit, params: Params, seeds: Seeds, origins: Tensor, directions: Tensor) -> Tensor:
    """Colours [n, 3] of rays, with jittered samples, over the background."""
    rendered = render_scene_rays(
        scene.field,
        origins,
        directions,
        params.rendering.n_bins,
        params.rendering.samples_per_bin,
        scene.surfaces.occupied,
        seeds.generator("samples"),
        torch.full_like(origins, params.background),
    )
    return rendered.colours
