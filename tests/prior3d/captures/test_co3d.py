"""A small sequence in CO3Dv2's layout, rendered with cameras that are known, must come back as these cameras."""

import gzip
import json
import math

import numpy as np
import pytest
import torch

from prior3d.captures.co3d_objects import read_co3d
from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from prior3d.rendering.rays import project
from tests.tiny_co3d import HEIGHT, WIDTH, write_annotations, write_category


@pytest.mark.parametrize("kind", ["ndc_isotropic", "ndc_norm_image_bounds"])
def test_the_object_is_at_the_origin_whole_and_where_the_cameras_say(tmp_path, kind):
    (sequence,) = read_co3d(write_category(tmp_path / "ball", kind), 32)
    cameras, alpha = sequence.cameras, sequence.rgba[..., 3] / 255
    assert sequence.rgba.shape == (5, 32, 32, 4) and cameras.views == 5
    border = np.concatenate([alpha[:, 0], alpha[:, -1], alpha[:, :, 0], alpha[:, :, -1]])
    assert border.max() == 0 and (alpha.max(axis=(1, 2)) == 1).all()
    rotation = cameras.c2w[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(5, 3, 3), atol=1e-5, rtol=0)
    assert (torch.linalg.det(rotation) > 0).all()
    assert project(cameras, torch.zeros(1, 3))[0].sub(16).abs().max() < 2.5  # pixels, of a lopsided object
    silhouette_centres_agree(sequence)


def silhouette_centres_agree(sequence):
    """The small ball's centre, fitted to where the images show it, is seen there from every camera."""
    rgba = sequence.rgba.astype(float)
    blue = (rgba[..., 2] > 100) & (rgba[..., 0] < 60)
    row, column = np.mgrid[:32, :32] + 0.5
    seen = torch.tensor([[column[b].mean(), row[b].mean()] for b in blue], dtype=torch.float32)
    point = torch.zeros(1, 3, requires_grad=True)
    optimiser = torch.optim.Adam([point], lr=0.02)
    for _ in range(300):
        optimiser.zero_grad()
        error = project(sequence.cameras, point)[0][:, 0] - seen
        error.square().mean().backward()
        optimiser.step()
    assert error.norm(dim=-1).max() < 0.5, "half a pixel"
    assert 0.2 < point.detach().norm() < 0.9, "beside the middle, within the ball"


def test_colours_are_premultiplied_and_without_background(tmp_path):
    (sequence,) = read_co3d(write_category(tmp_path / "ball"), 32)
    empty = sequence.rgba[..., 3] == 0
    assert empty.any() and not sequence.rgba[empty].any()
    assert (sequence.rgba[..., 1] <= 1).all(), "neither ball is green, and the grey background is gone"


def test_two_cameras_are_as_far_apart_as_they_were(tmp_path):
    (sequence,) = read_co3d(write_category(tmp_path / "ball"), 32)
    gaps = (sequence.cameras.positions[:, None] - sequence.cameras.positions).norm(dim=-1)
    expected = 2 * 3.5 * math.sin(math.pi / 5)
    scale = gaps[0, 1] / expected
    torch.testing.assert_close(gaps[0, 2] / scale, torch.tensor(2 * 3.5 * math.sin(2 * math.pi / 5)))
    assert 1.0 < scale < 1.5  # the balls' reach of 0.8 and 0.6 becomes 0.95 along the box's diagonal


def test_bad_folders(tmp_path):
    folder = write_category(tmp_path / "ball")
    frames = json.loads(gzip.decompress((folder / "frame_annotations.jgz").read_bytes()))
    write_annotations(folder, frames[:1])
    with pytest.raises(Prior3dError, match="none of its 1 sequences has two frames with a foreground mask"):
        read_co3d(folder, 16)
    write_png(folder / "images/1.mask.png", np.zeros((HEIGHT, WIDTH)))
    write_annotations(folder, frames[:2])
    with pytest.raises(Prior3dError, match="none of its 1 sequences"):
        read_co3d(folder, 16)
    frames[0]["viewpoint"]["intrinsics_format"] = "pixels"
    write_annotations(folder, frames)
    with pytest.raises(Prior3dError, match="intrinsics_format 'pixels'"):
        read_co3d(folder, 16)
    del frames[0]["viewpoint"]["R"]
    frames[0]["viewpoint"]["intrinsics_format"] = "ndc_isotropic"
    write_annotations(folder, frames)
    with pytest.raises(Prior3dError, match="sequence one: a frame lacks or garbles 'R'"):
        read_co3d(folder, 16)
    (folder / "images/0.png").unlink()
    with pytest.raises(Prior3dError, match="ball/images/0.png is named in frame_annotations.jgz but missing"):
        read_co3d(folder, 16)
    (folder / "frame_annotations.jgz").write_bytes(b"not gzip")
    with pytest.raises(Prior3dError, match="frame_annotations.jgz: cannot be read"):
        read_co3d(folder, 16)
    (folder / "frame_annotations.jgz").write_bytes(gzip.compress(b'{"a": 1}'))
    with pytest.raises(Prior3dError, match="a list of entries with sequence_name is needed"):
        read_co3d(folder, 16)
