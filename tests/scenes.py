"""Small captures on disk: images of nothing much, with cameras that look at the origin."""

import json

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from prior3d.cameras import opengl_to_opencv, orbit_cameras, ring


def write_capture(folder, n=6, size=(16, 12), alpha=False, mask=False, **changed):
    """A transforms.json (changes go to its top level) with n images of (width, height); returns its content."""
    (folder / "images").mkdir(parents=True)
    width, height = size
    c2w = orbit_cameras(ring(n, 20.0, 4.0), height, width).c2w
    frames = []
    for index in range(n):
        name = f"images/view_{index}.png"
        pixels = np.full((height, width, 4 if alpha else 3), 40 * (index % 6), np.uint8)
        Image.fromarray(pixels).save(folder / name)
        frame = {"file_path": name, "transform_matrix": c2w[index].tolist()}
        if mask:
            frame["mask_path"] = f"images/mask_{index}.png"
            Image.fromarray(np.full((height, width), 255, np.uint8)).save(folder / frame["mask_path"])
        frames.append(frame)
    content = {"fl_x": 20.0, "fl_y": 20.0, "cx": width / 2, "cy": height / 2, "w": width, "h": height} | changed
    content = {key: value for key, value in content.items() if value is not None} | {"frames": frames}
    rewrite(folder, content)
    return content


def rewrite(folder, content):
    """Put a changed content in the place of transforms.json."""
    (folder / "transforms.json").write_text(json.dumps(content))


def colmap_poses(cameras):
    """World-to-camera as COLMAP stores it: [views, 4] unit quaternions (w, x, y, z) and [views, 3] translations."""
    w2c = torch.linalg.inv(opengl_to_opencv(cameras.c2w.double())).numpy()
    return Rotation.from_matrix(w2c[:, :3, :3]).as_quat(scalar_first=True), w2c[:, :3, 3]


def identity_pose():
    """A camera at the origin that looks along -z."""
    return torch.eye(4, dtype=torch.float64)
