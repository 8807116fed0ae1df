"""A texture that shows the input picture from its camera: the end of the stages that make one."""

from torch import Tensor

from prior3d.meshes.painting import Surface
from prior3d.meshes.texture_fit import fit_to_picture, rim_texels
from stages.artifacts.images import load_object_image
from stages.contract.job import Job


def showing_picture(job: Job, surface: Surface, texture: Tensor, n_steps: int, rim: Tensor | None = None) -> Tensor:
    """Fit the texels that the camera of the input `image` sees to its pixels.

    Args:
        job: its `image` is the picture.
        surface: the mesh.
        texture: [resolution, resolution, 3], also filled beyond the charts.
        n_steps: of `fit_to_picture`; 0 leaves the texture as it is.
        rim: [resolution, resolution, 3], of which the texels are taken that only pixels at the object's outline show
            (`rim_texels`); None keeps the texture's own.

    Returns:
        [resolution, resolution, 3] in [0, 1], on the surface's device.
    """
    if n_steps == 0:
        return texture.clamp(0, 1).to(job.device)
    picture = load_object_image(job.inputs["image"])
    size = min(picture.size, texture.shape[0])
    colours, mask = (values.to(job.device) for values in picture.premultiplied(size))
    cameras = picture.viewpoint.cameras(size).to(job.device)
    texture = texture.to(job.device)
    if rim is not None:
        at_rim = rim_texels(surface, texture.shape[0], cameras, mask)
        texture = rim.to(texture).where(at_rim[..., None], texture)
    return fit_to_picture(surface, texture, cameras, colours, mask, n_steps)
