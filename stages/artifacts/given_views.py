"""A job's given images, as its joint-view prior takes them: one prepared image, or a few posed ones."""

from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.errors import Prior3dError
from prior3d.reconstruction.drawn_views import GivenViews
from prior3d.reconstruction.given_views import given_image, given_posed_images
from prior3d.settings.joint_views import GivenSettings
from stages.artifacts.images import load_object_image
from stages.artifacts.input_views import load_input_views
from stages.contract.job import Job


def load_given_views(job: Job, prior: JointViewsPrior, counted: GivenSettings) -> GivenViews | None:
    """The images of the inputs `image` or `views`; None without them.

    Raises:
        Prior3dError: posed images have no masks.
    """
    if "image" in job.inputs:
        return given_image(prior, load_object_image(job.inputs["image"]), counted)
    if "views" not in job.inputs:
        return None
    views = load_input_views(job.inputs["views"])
    if views.masks is None:
        raise Prior3dError(
            f"stage {job.name}: the posed images have no masks, so the object cannot be told from what is behind it. "
            "Give images with alpha, with mask_path, or before one flat colour; or use sparsefusion"
        )
    return given_posed_images(prior, views, counted)
