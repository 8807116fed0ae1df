"""A folder of posed images of a ball, red on its +x side and blue on the other, by its rays."""

import json

import numpy as np
import torch

from prior3d.cameras import Orbit, orbit_cameras, to_nerfstudio
from prior3d.images.files import write_png
from prior3d.rendering.rays import rays


def ball_cameras(n, size, radius=3.2, fov_deg=40.0):
    """Spread azimuths at two heights."""
    fill = torch.ones(n)
    azimuth_deg = torch.arange(n) * (360 / n) + 7
    elevation_deg = torch.where(torch.arange(n) % 2 == 0, 5.0, 35.0)
    return orbit_cameras(Orbit(azimuth_deg, elevation_deg, radius * fill, fov_deg * fill), size, size)


def ball_pictures(cameras, radius=0.8):
    """Straight RGBA [views, size, size, 4] in [0, 1]."""
    origins, directions = rays(cameras)
    along = -(origins * directions).sum(-1)
    closest = origins + along[..., None] * directions
    inside = radius**2 - closest.square().sum(-1)
    points = closest - inside.clamp_min(0).sqrt()[..., None] * directions
    red, blue = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.2, 0.9])
    colours = torch.where(points[..., :1] > 0, red, blue)
    return torch.cat([colours, (inside > 0)[..., None].float()], -1).numpy()


def write_ball(folder, n=3, size=32, masks="alpha", background=0.0, moved=(0.0, 0.0, 0.0), scale=1.0, **top):
    """Write it; `masks` is alpha, files, or none (then over a flat background); returns the content of transforms."""
    (folder / "images").mkdir(parents=True)
    cameras = ball_cameras(n, size)
    names = [f"images/{view}.png" for view in range(n)]
    content = to_nerfstudio(cameras, names) | top
    for view, picture in enumerate(ball_pictures(cameras)):
        colours, mask = picture[..., :3], picture[..., 3:]
        over = colours * mask + background * (1 - mask)
        write_png(folder / names[view], picture if masks == "alpha" else over)
        if masks == "files":
            write_png(folder / f"images/{view}.mask.png", mask[..., 0])
            content["frames"][view]["mask_path"] = f"images/{view}.mask.png"
        matrix = np.array(content["frames"][view]["transform_matrix"])
        matrix[:3, 3] = matrix[:3, 3] * scale + moved
        content["frames"][view]["transform_matrix"] = matrix.tolist()
    (folder / "transforms.json").write_text(json.dumps(content))
    return content
