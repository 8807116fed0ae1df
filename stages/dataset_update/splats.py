"""Gaussian splats that are fitted to whole edited images, after Instruct-GS2GS (Vachha and Haque 2024).

That method edits all images in turn, fits the splats to them for 2,500 steps, and begins again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.captures.posed import PosedViews
from prior3d.dataset_update.captured_views import CapturedView
from prior3d.dataset_update.edit_scene import SceneEdit
from prior3d.dataset_update.edited_images import EditedViews
from prior3d.dataset_update.edited_splats import EditedSplats, splat_surfaces_now
from prior3d.dataset_update.schedule import views_due
from prior3d.diffusion.perceptual import load_perceptual
from prior3d.optimisation import late_decay
from prior3d.seeds import Seeds
from prior3d.sending import sent
from prior3d.splats.field import GREY, SplatsField
from prior3d.splats.fit import ABSOLUTE, SQUARED
from prior3d.splats.optimising import control_density, rate_groups
from prior3d.splats.render import render_splats
from stages.artifacts.splats import save_splats
from stages.contract.job import Job
from stages.contract.slow_splats import tell_if_slow
from stages.dataset_update import Params
from stages.dataset_update.fitting import Fit, Losses, Update, distillation

DIVERGED = (
    "lower dataset_update.splats.rates.means, dataset_update.splats.rates.scales or dataset_update.splats.rates.sh0"
)
BETAS, EPSILON = (0.9, 0.99), 1e-15  # of Adam; 3DGS's epsilon


@dataclass(frozen=True)
class Target:
    """What splats are fitted to.

    Attributes:
        field: the splats.
        dataset: the images as they are now.
        seeds: "views", "behind" and "patches" are drawn here.
        cut_out: whether the photos show an object over the dataset's grey; else a place, which hides what is behind.
        masks: [views, height, width] of pixels that count; None: all.
    """

    field: SplatsField
    dataset: EditedViews
    seeds: Seeds
    cut_out: bool
    masks: Tensor | None

    def draw(self, camera: Cameras, behind: Tensor | None = None) -> Tensor:
        """[height, width, 3] what the splats show, over the dataset's grey or over what is given."""
        device = self.field.splats.means.device
        grey = torch.full((3,), self.dataset.background if self.cut_out else GREY, device=device)
        return render_splats(self.field.splats, camera, grey if behind is None else behind).colours

    def pair(self) -> tuple[Tensor, Tensor]:
        """What the splats show of a random view, and its image: [height, width, 3] each."""
        view = int(torch.randint(self.dataset.n_views, (), generator=self.seeds.generator("views")))
        image = self.dataset.now(view)[0].movedim(0, -1)
        behind = None if self.cut_out else sent(torch.rand(3, generator=self.seeds.generator("behind")), image)
        drawn = self.draw(self.dataset.cameras[view], behind)
        if self.masks is not None:
            mask = self.masks[view][..., None]
            image = image * mask + drawn.detach() * (1 - mask)
        return drawn, image


def splat_fit(
    job: Job,
    params: Params,
    seeds: Seeds,
    field: SplatsField,
    dataset: EditedViews,
    views: PosedViews,
    chosen: list[int],
) -> Fit:
    """Splats, fitted to one whole image a step; `chosen` of the capture's `views` are the dataset's."""
    tell_if_slow(job)
    settings, fitted = params.splats, params.variant != "per_frame"
    splats = EditedSplats(field, splat_surfaces_now(field.splats, dataset.cameras))
    optimiser = torch.optim.Adam(rate_groups(field.splats, settings.rates), betas=BETAS, eps=EPSILON, fused=True)
    ignores, cut_out = views.mask_meaning == "ignore", views.mask_meaning == "object"
    masks = torch.stack([views.mask(view) for view in chosen]).to(job.device) if ignores else None
    target = Target(field, dataset, seeds, cut_out, masks)
    build = sds_losses if params.variant == "sds" else fitting_losses

    def save(folder: Path) -> None:
        job.metric("splats", field.config.n_splats, "Gaussians")
        save_splats(folder, field)

    return Fit(
        scene=splats,
        shown_by=splats,
        build_losses=lambda edit, update: build(edit, target, optimiser, params, update),
        optimiser=optimiser,
        n_steps=settings.steps if fitted else 1,
        round_steps=settings.edit_all_every or dataset.n_views * params.edit_every,
        views_due=lambda step: splat_views_due(step, dataset.n_views, params),
        learning_rate_factor=lambda progress: fitted * late_decay(progress, 0.0, settings.rates.decay_to),
        save=save,
        advice=DIVERGED,
    )


def splat_views_due(step: int, n_views: int, params: Params) -> list[int]:
    """The views that are edited before a step: all of them every so many steps, or one after the other."""
    iterative, every = params.variant == "iterative", params.splats.edit_all_every
    if iterative and not every:
        return views_due(step, n_views, params.edit_every, repeatedly=True, together=False)
    return list(range(n_views)) if step == 0 or (iterative and step % every == 0) else []


def fitting_losses(
    scene: SceneEdit, target: Target, optimiser: torch.optim.Optimizer, params: Params, update: Update
) -> Losses:
    """The difference to a random image, of those that `update` edits before a step."""
    splats, settings = target.field.splats, params.splats
    control, perceptual = settings.density_control, patch_loss(scene, target, params)

    def losses(step: int) -> dict[str, Tensor]:
        update(step)
        control_density(splats, optimiser, control, step, settings.steps, target.seeds)
        drawn, image = target.pair()
        difference = drawn - image
        terms = {
            "colour": ABSOLUTE * difference.abs().mean() + SQUARED * difference.square().mean(),
            "opacity": control.opacity_weight * splats.opacities.sigmoid().mean(),
            "scale": control.scale_weight * splats.scales.exp().mean(),
        }
        if perceptual is not None:
            terms["perceptual"] = perceptual(drawn, image)
        return terms

    return losses


def sds_losses(
    scene: SceneEdit, target: Target, optimiser: torch.optim.Optimizer, params: Params, update: Update
) -> Losses:
    """The instruct prior's score of whole images, one view per step."""
    distil, n_steps = distillation(scene, params, target.seeds), params.splats.steps

    def render_image(cameras: Cameras, batch: CapturedView) -> Tensor:
        return target.draw(cameras).movedim(-1, 0)[None]

    def losses(step: int) -> dict[str, Tensor]:
        update(step)
        control_density(target.field.splats, optimiser, params.splats.density_control, step, n_steps, target.seeds)
        return {"sds": distil(render_image, step / n_steps).loss}

    return losses


def patch_loss(scene: SceneEdit, target: Target, params: Params) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Weighted LPIPS of a random patch of a render and its image; None at weight 0."""
    settings = params.perceptual
    if settings.weight == 0:
        return None
    distance = load_perceptual(Path(settings.weights_file), scene.scene.device)

    def loss(drawn: Tensor, image: Tensor) -> Tensor:
        height, width = image.shape[:2]
        side = min(settings.patch_size, height, width)
        top, left = (
            int(torch.randint(limit - side + 1, (), generator=target.seeds.generator("patches")))
            for limit in (height, width)
        )
        patches = [part[top : top + side, left : left + side].movedim(-1, 0)[None] for part in (drawn, image)]
        return settings.weight * distance(*patches)

    return loss
