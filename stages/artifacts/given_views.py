"""A job's posed images, as its joint-view prior takes them."""

from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.errors import Prior3dError
from prior3d.reconstruction.drawn_views import GivenViews
from prior3d.reconstruction.given_views import given_posed_images
from prior3d.settings.joint_views import GivenSettings
from stages.artifacts.input_views import load_input_views
from stages.contract.job import Job


def posed_images(job: Job, prior: JointViewsPrior, counted: GivenSettings) -> GivenViews:
    """The images of the input `views`.

    Raises:
        Prior3dError: they have no masks.
    """
    views = load_input_views(job.inputs["views"])
    if views.masks is None:
        raise Prior3dError(
            f"stage {job.name}: the posed images have no masks, so the object cannot be told from what is behind it. "
            "Give images with alpha, with mask_path, or before one flat colour; or take sparsefusion with the prior "
            "toy-views"
        )
    return given_posed_images(prior, views, counted)
