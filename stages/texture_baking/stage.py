"""The body of texture_baking; the package says what it takes, gives and is set by."""

from dataclasses import replace

import torch

from prior3d.images.object_image import ObjectImage
from prior3d.meshes.baking import SurfaceColours, bake, bake_colours
from prior3d.meshes.mesh import HERE, TexturedMesh, UvMesh
from prior3d.meshes.painting import Surface
from prior3d.meshes.texture_fit import fit_texture_to_image, fit_texture_to_views
from prior3d.meshes.texture_smoothing import smooth_texture
from prior3d.reconstruction.body import Body
from prior3d.settings.completion import CompletionSettings
from stages.artifacts.completions import load_completion, save_completion
from stages.artifacts.drawn_views import load_drawn_views
from stages.artifacts.fields import load_drawn, load_rgb_field
from stages.artifacts.images import load_object_image
from stages.artifacts.meshes import load_mesh, save_textured_mesh
from stages.contract.job import Job
from stages.texture_baking import Params

LARGEST_BODY, POINTS_AT_ONCE = 256, 2**16  # pixels of a side; points


def run(job: Job, params: Params) -> None:
    """Bake the texture."""
    mesh = load_mesh(job.inputs["mesh"])
    drawn = load_drawn(job.inputs["field"], job.device)
    if drawn is not None:
        save(job, params, *bake_colours(mesh, drawn.surface_colours, params.resolution))
        return
    field = load_rgb_field(job.inputs["field"], job.device)
    completion = load_completion(job.inputs["field"]) if "image" in job.inputs else None
    if completion is None:
        textured, numbers = bake(mesh, field, params.resolution, params.shell, job.device, job.progress)
    else:
        colours = completed_colours(load_object_image(job.inputs["image"]), completion)
        textured, numbers = bake_colours(mesh, colours, params.resolution)
    textured = finished(job, params, textured, smooth=completion is None)
    if completion is not None:
        save_completion(job.out, completion)
    save(job, params, textured, numbers)


def save(job: Job, params: Params, textured: TexturedMesh, numbers: dict[str, float]) -> None:
    """Write the mesh, and what its atlas is like."""
    save_textured_mesh(job.out, textured)
    job.metric("charts", numbers["charts"], "charts", higher_is_better=False)
    job.metric("texture_use", numbers["texture_use"], "of texels", n=params.resolution**2, higher_is_better=True)
    job.metric("glb_size", (job.out / "mesh.glb").stat().st_size / 1e6, "MB", higher_is_better=False)


def completed_colours(image: ObjectImage, settings: CompletionSettings) -> SurfaceColours:
    """The colours of an image's symmetric completion, at the image's own size: they have no grain."""
    size = min(max(image.size, settings.body.size), LARGEST_BODY)
    body = Body(image, replace(settings, body=replace(settings.body, size=size)))

    def colours(positions: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        return torch.cat([body(piece)[1] for piece in positions.split(POINTS_AT_ONCE)])

    return colours


def finished(job: Job, params: Params, mesh: TexturedMesh, *, smooth: bool = True) -> TexturedMesh:
    """The mesh with its texture fitted to views, smoothed, and showing the given images among them.

    What views that a prior drew agree on is smoothed with the field's colours; a given image is shown as it is. The
    colours of a completion are not smoothed, and its renders show nothing else.
    """
    surface = UvMesh(mesh.vertices, mesh.faces, mesh.uv, mesh.faces, HERE)
    seen, texture = Surface(surface, job.device), torch.from_numpy(mesh.texture).to(job.device)
    found = load_drawn_views(job.inputs["views"], job.device) if "views" in job.inputs else None
    if smooth and found is not None:
        texture = fit_texture_to_views(seen, texture, found.views, params.view_steps, params.view_damping)
    if smooth:
        texture = smooth_texture(surface, texture, params.smoothing_radius, params.edge_threshold)
    if "image" in job.inputs:
        image = load_object_image(job.inputs["image"])
        texture = fit_texture_to_image(seen, texture, image, params.image_steps)
    elif found is not None and found.n_given:
        given = found.views[list(range(found.n_given))]
        texture = fit_texture_to_views(seen, texture, given, params.image_steps)
    return replace(mesh, texture=texture.cpu().numpy())
