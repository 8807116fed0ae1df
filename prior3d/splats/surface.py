"""A mesh of splats: median depths fused into a signed distance (Curless and Levoy 1996), and the colours on it."""

from typing import Any

import numpy as np
import open3d
import torch
import torch.nn.functional as functional
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from prior3d.cameras import Cameras, opengl_to_opencv
from prior3d.errors import Prior3dError
from prior3d.meshes.mesh import Mesh
from prior3d.rendering.rays import project
from prior3d.splats.model import SH_CONSTANT, Splats
from prior3d.splats.render import median_depths, render_splats

TRUNCATION = 4.0  # voxels
LEAST_COSINE = 0.15  # between a surface's normal and the ray: a flatter view says nothing of its colour
SOLID = 0.3  # opacity of a Gaussian that shows the colour of what no camera sees
HIDDEN = 0.03  # of the depth: what lies farther behind the depth in the image is hidden


def fused_surface(cameras: Cameras, depths: Float[Tensor, "views height width"], bound: float, resolution: int) -> Mesh:
    """The surface in the box that depth images agree on.

    Args:
        cameras: [views].
        depths: [views, height, width] along the cameras' axes, in world units; 0 where there is nothing.
        bound: half the side of the box, in world units.
        resolution: voxels along the side.

    Raises:
        Prior3dError: the depths show nothing in the box.
    """
    voxel = 2 * bound / resolution
    volume = open3d.pipelines.integration.UniformTSDFVolume(  # the scalable one of Open3D 0.20 finds no surface
        length=2 * bound,
        resolution=resolution,
        sdf_trunc=TRUNCATION * voxel,
        color_type=open3d.pipelines.integration.TSDFVolumeColorType.NoColor,
        origin=np.full((3, 1), -bound),
    )
    height, width = cameras.height, cameras.width
    poses = torch.linalg.inv(opengl_to_opencv(cameras.c2w).double()).cpu().numpy()
    no_colours = _image(np.zeros((height, width, 3), np.uint8))
    for view in range(cameras.views):
        focal = float(cameras.focal_pixels[view])
        image = open3d.geometry.RGBDImage.create_from_color_and_depth(
            no_colours, _image(depths[view].float().cpu().contiguous().numpy()), depth_scale=1.0,
            depth_trunc=float(cameras.positions[view].norm()) + 2 * bound, convert_rgb_to_intensity=False,
        )  # fmt: skip
        lens = open3d.camera.PinholeCameraIntrinsic(width, height, focal, focal, width / 2 - 0.5, height / 2 - 0.5)
        volume.integrate(image, lens, poses[view])
    shape = volume.extract_triangle_mesh()
    if not len(shape.triangles):
        raise Prior3dError(
            "mesh: the splats' depths show no surface in the unit box; look at scene_fit/preview.png, and raise "
            "scene_fit.splats.steps or scene_preparation.margin"
        )
    return Mesh(np.asarray(shape.vertices), np.asarray(shape.triangles).astype(np.int64))


def _image(values: Any) -> open3d.geometry.Image:
    """An array as Open3D has images; its types do not know that arrays are buffers."""
    return open3d.geometry.Image(values)


@torch.no_grad()
def seen_colours(
    splats: Splats,
    cameras: Cameras,
    points: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    solid: bool = False,
) -> Float[Tensor, "points 3"]:
    """Colours [n, 3] of points of a surface: what images of the splats show there, most from the front.

    Points that no camera sees have the colour of the nearest Gaussian that is not faint. The surface of a solid may lie
    in front of the median depth, and is seen there too.
    """
    total, weight = torch.zeros(len(points), 3), torch.zeros(len(points))
    for view in range(cameras.views):
        camera = cameras[view]
        image = render_splats(splats, camera)
        depth = median_depths(splats, camera).cpu()
        straight = image.colours.cpu() / image.opacity.cpu().clamp_min(1e-3)[..., None]
        pixels, distance = (part[0] for part in project(camera.to("cpu"), points))
        size = torch.tensor([camera.width, camera.height])
        grid = (2 * pixels / size - 1)[None, None]
        found = functional.grid_sample(
            torch.cat([straight, depth[..., None]], -1).movedim(-1, 0)[None], grid, mode="bilinear", align_corners=False
        )[0, :, 0].T
        toward = functional.normalize(camera.positions.cpu() - points, dim=-1)
        along = -((points - camera.positions.cpu()) @ camera.c2w[0, :3, 2].cpu())
        facing = (toward * normals).sum(-1)
        shown = (grid[0, 0].abs() < 1).all(-1) & (distance > 0) & (facing > LEAST_COSINE)
        behind = along - found[:, 3]
        shown &= (found[:, 3] > 0) & ((behind if solid else behind.abs()) < HIDDEN * along)
        share = torch.where(shown, facing.square(), 0.0)
        total, weight = total + share[:, None] * found[:, :3], weight + share
    unseen = (weight <= 0).nonzero()[:, 0]
    colours = total / weight.clamp_min(1e-8)[:, None]
    if len(unseen):
        colours[unseen] = nearest_colours(splats, points[unseen])
    return colours.clamp(0, 1)


def nearest_colours(splats: Splats, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
    """[n, 3] the colour that all directions share, of the Gaussian nearest to each point that is not faint."""
    opacities = splats.opacities.detach().cpu().sigmoid()
    solid = (opacities >= min(SOLID, float(opacities.max()))).nonzero()[:, 0]
    near = cKDTree(splats.means.detach().cpu()[solid].numpy()).query(points.numpy())[1]
    return splats.sh0.detach().cpu()[solid[torch.from_numpy(near)], 0] * SH_CONSTANT + 0.5
