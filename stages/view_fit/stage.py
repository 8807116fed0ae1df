"""The body of view_fit; the package says what it takes, gives and is set by."""

from torch import Tensor

from prior3d.cameras import orbit_cameras, ring
from prior3d.metrics import psnr_db
from prior3d.reconstruction.soft_hull import begin_at_hull
from prior3d.reconstruction.sparse_fit import SparseFit, start_fit
from prior3d.reconstruction.view_targets import ViewTargets
from prior3d.seeds import Seeds
from stages.artifacts.completions import load_completion, save_completion
from stages.artifacts.drawn_views import ViewsOfObject, load_drawn_views
from stages.artifacts.fields import load_object_field, save_field
from stages.contract.job import Job
from stages.contract.object_check import ObjectCheck
from stages.contract.preview import Preview, write_row
from stages.view_fit import Params

AGAINST_EMPTY = "lower view_fit.fit.surface.sparsity_weight, or look at the preview of joint_views"
AGAINST_FULL = "raise view_fit.fit.mask_weight, or look at the preview of joint_views"
MOST_COMPARED = 4  # drawn views
SHOWN_SIZE = 48  # pixels of a side of the preview's views


def run(job: Job, params: Params) -> None:
    """Fit the field."""
    found = load_drawn_views(job.inputs["views"], job.device)
    fit, n_steps = beginning(job, params, found)
    shown = orbit_cameras(ring(8), SHOWN_SIZE, SHOWN_SIZE).to(job.device)
    preview = Preview(job, lambda: fit.images(shown, 1.0)[0])
    n_samples = fit.settings.n_samples
    check = ObjectCheck(job, fit.field, n_samples, params.check, AGAINST_EMPTY, AGAINST_FULL)

    def losses(step: int) -> dict[str, Tensor]:
        check.before(step, n_steps)
        preview.perhaps(step, n_steps)
        return fit.losses(step / n_steps)

    if fit.run(n_steps, job.work / "checkpoint.safetensors", job, losses):
        check.at_end()
        save_field(job.out, fit.field)
        completion = load_completion(job.inputs["views"])
        if completion is not None:  # its surface is then coloured by the body itself
            save_completion(job.out, completion)
        write_row(job.out / "preview.png", fit.images(shown, 1.0)[0])
        measure(job, fit, found)


def beginning(job: Job, params: Params, found: ViewsOfObject) -> tuple[SparseFit, int]:
    """A fit from fog, from the views' hull, or from the body that lies beside the views, and its steps."""
    seeds = Seeds(params.seed)
    if load_completion(job.inputs["views"]) is None:
        fit = start_fit(found.views, params.fit, seeds)
        if params.start == "hull":
            begin_at_hull(fit.field, found.views)
        return fit, params.posed_steps if "posed" in job.inputs else params.steps
    views = found.views
    targets = ViewTargets(views.cameras)
    targets.put(slice(None), views.colours, views.masks, views.weights)
    field = load_object_field(job.inputs["views"], job.device)
    return SparseFit(field, targets, params.completed_fit, seeds), params.completed_steps


def measure(job: Job, fit: SparseFit, found: ViewsOfObject) -> None:
    """Record how well the field shows the given images and the drawn ones, over white."""
    n = len(found.views.colours)
    parts = {"given_psnr": range(found.n_given), "drawn_psnr": range(found.n_given, n)[:MOST_COMPARED]}
    for name, places in parts.items():
        if not places:
            continue
        views = found.views[list(places)]
        images, _ = fit.images(views.cameras, 1.0)
        score_db = psnr_db(images.cpu().numpy(), views.over(1.0).cpu().numpy())
        job.metric(name, score_db, "dB", n=len(places), higher_is_better=True)
