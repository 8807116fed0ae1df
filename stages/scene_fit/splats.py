"""The fit of Gaussian splats: phase after phase, each with a checkpoint of its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prior3d import checkpoints
from prior3d.captures.posed import PosedViews
from prior3d.captures.whole_images import WholeImages
from prior3d.optimisation import late_decay, optimise
from prior3d.seeds import Seeds
from prior3d.splats.density_control import grown
from prior3d.splats.field import SplatsField
from prior3d.splats.fit import image_losses
from prior3d.splats.model import Splats, SplatsConfig
from prior3d.splats.optimising import rate_groups
from prior3d.splats.start import splats_from_points, start_splats
from stages.artifacts.splats import save_splats
from stages.contract.job import Job
from stages.contract.monitors import PhaseMonitor
from stages.contract.saving import save_checkpoint
from stages.contract.slow_splats import tell_if_slow
from stages.scene_fit import Params
from stages.scene_fit.measuring import SPLATS_DIVERGED, measure

FindPoints = Callable[[int], tuple[Tensor, Tensor] | None]  # places and colours to begin with; None: at random
MOST_CAMERAS = 64  # that are kept with the splats, to make a mesh from
BETAS, EPSILON = (0.9, 0.99), 1e-15  # of Adam; 3DGS's epsilon


def run_splats(
    job: Job, params: Params, views: PosedViews, held_out: list[int], training: list[int], points: FindPoints
) -> None:
    """Fit and measure; `points` finds where to begin."""
    job.progress(0, sum(params.splats.steps), text=f"reading {len(training)} images")
    tell_if_slow(job)
    splats = fit(job, params, views, training, points)
    if splats is None:
        return
    chosen = [training[i * len(training) // MOST_CAMERAS] for i in range(MOST_CAMERAS)]
    cameras = views.cameras[torch.tensor(chosen if len(training) > MOST_CAMERAS else training)]
    field = SplatsField(splats.requires_grad_(False), cameras.to(job.device))
    measure(job, params, views, lambda view: splats_and_photo(views, field, view), held_out, training)
    job.metric("splats", splats.config.n_splats, "Gaussians")
    save_splats(job.out, field)


def fit(job: Job, params: Params, views: PosedViews, training: list[int], points: FindPoints) -> Splats | None:
    """Fit phase after phase; None when the job is asked to stop."""
    settings = params.splats
    is_object = views.mask_meaning == "object" if params.extent == "auto" else params.extent == "bounded"
    splats: Splats | None = None
    for phase, n_splats in enumerate(settings.counts):
        config = SplatsConfig(n_splats, params.sh_degree, is_object)
        done = checkpoints.load(ended(job, phase))
        if done is not None:
            splats = Splats(config).to(job.device)
            splats.load_state_dict(done[0])
            continue
        images = WholeImages(views, training, settings.image_fractions[phase], job.work / "images.npy")
        seeds = Seeds(params.seed + 1000 * phase)
        if splats is None:
            found = points(n_splats)
            drawn = seeds.generator("points")
            begun = (
                start_splats(config, images, views.mask_meaning, drawn)
                if found is None
                else splats_from_points(config, *found, drawn)
            )
            splats = begun.to(job.device)
        elif n_splats > splats.config.n_splats:
            splats = grown(splats, n_splats, seeds.generator("growth"))
        if not fit_phase(job, params, phase, splats, images, views, seeds):
            return None
        save_checkpoint(job, ended(job, phase), splats.state_dict(), {})
        images.remove()
    return splats


def fit_phase(
    job: Job, params: Params, phase: int, splats: Splats, images: WholeImages, views: PosedViews, seeds: Seeds
) -> bool:
    """Take the steps of a phase; whether all are done."""
    settings, last = params.splats, phase == len(params.splats.steps) - 1
    optimiser = torch.optim.Adam(rate_groups(splats, settings.rates), betas=BETAS, eps=EPSILON, fused=True)
    n_steps = settings.steps[phase]
    return optimise(
        image_losses(splats, images, views.mask_meaning, optimiser, settings.density_control, n_steps, seeds),
        modules={"splats": splats},
        optimiser=optimiser,
        n_steps=n_steps,
        seeds=seeds,
        checkpoint=job.work / f"phase_{phase}.safetensors",
        monitor=PhaseMonitor(job, sum(settings.steps[:phase]), sum(settings.steps)),
        learning_rate_factor=lambda progress: late_decay(progress, 0.0, settings.rates.decay_to) if last else 1.0,
        advice=SPLATS_DIVERGED,
    )


def splats_and_photo(
    views: PosedViews, field: SplatsField, view: int, background: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """What the splats show of a view, and the photo; pixels that masks exclude are the render's in both."""
    behind = torch.full((3,), background, device=field.splats.means.device)
    rendered = field.render_views(views.cameras[view].to(behind.device), behind)[0][0].clamp(0, 1).cpu()
    photo = views.over(view, background).movedim(0, -1)
    if views.mask_meaning == "ignore":
        mask = views.mask(view)[..., None]
        photo = photo * mask + rendered * (1 - mask)
    return rendered.numpy(), photo.numpy()


def ended(job: Job, phase: int) -> Path:
    """The file of a finished phase's splats."""
    return job.work / f"phase_{phase}.end.safetensors"
