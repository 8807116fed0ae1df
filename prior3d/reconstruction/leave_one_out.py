"""How well views are shown by something that was not given them, and how far a prior can be trusted for that."""

from jaxtyping import Float
from torch import Tensor

from prior3d.errors import Prior3dError
from prior3d.metrics import psnr_db
from prior3d.reconstruction.input_views import InputViews
from prior3d.settings.sparse_views import ConfidenceSettings


def leave_one_out(n_views: int, most: int) -> list[tuple[int, list[int]]]:
    """Views to leave out, one at a time and at most `most` of them, evenly, each with all others; none of one view."""
    if n_views < 2:
        return []
    left_out = sorted({place * n_views // min(most, n_views) for place in range(min(most, n_views))})
    return [(view, [other for other in range(n_views) if other != view]) for view in left_out]


def view_score_db(
    colours: Float[Tensor, "1 3 height width"], masks: Float[Tensor, "1 height width"] | None, truth: InputViews
) -> float:
    """PSNR in dB of one image against the one view of `truth`; with masks over white and over black."""
    levels = (0.0,) if masks is None else (0.0, 1.0)
    found = [colours if masks is None else colours + (1 - masks[:, None]) * level for level in levels]
    pairs = [(image.clamp(0, 1), truth.over(level)) for image, level in zip(found, levels, strict=True)]
    return sum(psnr_db(image.cpu().numpy(), target.cpu().numpy()) for image, target in pairs) / len(levels)


def prior_confidence(prior_db: list[float], fit_db: list[float], settings: ConfidenceSettings) -> float:
    """How far to trust a prior, from PSNRs of its images of views left out and of fits to the other views.

    Returns:
        From 0 to 1, linear between the two differences that the settings name; 1 where nothing was left out.

    Raises:
        Prior3dError: not the same number of both.
    """
    if len(prior_db) != len(fit_db):
        raise Prior3dError(
            f"confidence in the prior: {len(prior_db)} images of the prior, {len(fit_db)} of fits; give one each"
        )
    if not prior_db:
        return 1.0
    ahead_db = sum(prior_db) / len(prior_db) - sum(fit_db) / len(fit_db)
    return min(1.0, max(0.0, (ahead_db - settings.none_at_db) / (settings.full_at_db - settings.none_at_db)))
