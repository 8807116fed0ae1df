"""How a fit to a capture looks beside its photos, held-out ones above all."""

from collections.abc import Callable

import numpy as np

from prior3d.captures.held_out import counting_views, evenly_chosen
from prior3d.captures.posed import PosedViews
from prior3d.errors import Prior3dError
from prior3d.images.files import contact_sheet, write_png
from prior3d.metrics import psnr_db, ssim
from stages.contract.job import Job
from stages.scene_fit import Params

NEAR_DB = 15.0  # of renders that show something, also where the photos are nearly flat
TWICE_DB = 3.0  # the squared error twice as large
DIVERGED = "lower scene_fit.optimiser.learning_rate or scene_fit.optimiser.density_learning_rate"
MORE_STEPS = ", raise scene_fit.steps"
SPLATS_DIVERGED = "lower scene_fit.splats.rates.means or scene_fit.splats.rates.scales"
ADVICE = {"grid": DIVERGED + MORE_STEPS, "splats": SPLATS_DIVERGED + ", raise scene_fit.splats.steps"}
RenderAndPhoto = Callable[[int], tuple[np.ndarray, np.ndarray]]  # of a view: [height, width, 3] each


def check_fit(psnr: float, flat_psnr: float, advice: str = DIVERGED + MORE_STEPS) -> None:
    """Hold that renders are not twice as far from the photos, in squared error, as each photo's mean colour is.

    Raises:
        Prior3dError: they are not: the fit has diverged, or the cameras are not those of the photos.
    """
    if psnr < min(flat_psnr, NEAR_DB) - TWICE_DB:
        raise Prior3dError(
            f"scene_fit: its renders ({psnr:.1f} dB) are farther from the photos than one flat colour is "
            f"({flat_psnr:.1f} dB); {advice}, or check the capture's cameras"
        )


def measure(
    job: Job, params: Params, views: PosedViews, pair_of: RenderAndPhoto, held_out: list[int], training: list[int]
) -> None:
    """PSNR and SSIM of the held-out images and of as many training images, and a preview of both."""
    rows = []
    for name, chosen in (("held_out", held_out), ("training", training)):
        most = min(params.n_measured_views, max(1, len(held_out)))
        some = evenly_chosen(counting_views(views, chosen), most)
        if not some:
            continue
        scores: list[tuple[float, float, float]] = []
        shown: list[np.ndarray] = []
        for view in some:
            pair = pair_of(view)
            flat = np.broadcast_to(pair[1].mean((0, 1)), pair[1].shape)
            scores.append((psnr_db(*pair), ssim(*pair), psnr_db(flat, pair[1])))
            shown += pair if len(shown) < 2 * params.preview_pairs else ()
        rows.append(shown)
        psnr, similarity, flat_psnr = (sum(values) / len(some) for values in zip(*scores, strict=True))
        if name == "training":
            check_fit(psnr, flat_psnr, ADVICE[params.kind])
        job.metric(f"{name}_psnr", psnr, "dB", n=len(some), higher_is_better=True)
        job.metric(f"{name}_ssim", similarity, "", n=len(some), higher_is_better=True)
    write_png(job.out / "preview.png", contact_sheet(rows))
