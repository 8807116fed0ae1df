"""Splats as `.splat`: 32 bytes each, without colours by direction, for small web viewers."""

import numpy as np
import torch

from prior3d.splats.checks import BadSplats, check_count, filled
from prior3d.splats.frames import Y_DOWN, turned
from prior3d.splats.model import SH_CONSTANT, Splats

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("colour", "u1", 4), ("quat", "u1", 4)])


def splat_bytes(splats: Splats) -> bytes:
    """The content of a file, what covers most first, y down as in PLY."""
    there = turned(splats, Y_DOWN)
    with torch.no_grad():
        alpha = there.opacities.sigmoid()
        order = torch.argsort(-(there.scales.sum(-1).exp() * alpha), stable=True)
        rgb = there.sh0[:, 0] * SH_CONSTANT + 0.5
        rgba = (torch.cat([rgb, alpha[:, None]], 1) * 255).round().clamp(0, 255).byte()
        quats = there.quats / there.quats.norm(dim=-1, keepdim=True)
        rows = np.zeros(there.config.n_splats, ROW)
        rows["mean"], rows["scale"] = there.means[order].numpy(), there.scales[order].exp().numpy()
        rows["colour"] = rgba[order].numpy()
        rows["quat"] = (quats[order] * 128 + 128).round().clamp(0, 255).byte().numpy()
    return rows.tobytes()


def read_splat_bytes(content: bytes) -> Splats:
    """Splats of a file's content (raises BadSplats)."""
    if len(content) % ROW.itemsize:
        raise BadSplats(f"{len(content):,} bytes are no whole number of Gaussians of {ROW.itemsize}: it is cut off")
    n = len(content) // ROW.itemsize
    check_count(n, ROW.itemsize, len(content))
    rows = np.frombuffer(content, ROW, n)
    scales = torch.from_numpy(rows["scale"].astype(np.float32))
    if bool((scales < 0).any()):
        raise BadSplats("a Gaussian has a negative size")
    rgba = torch.from_numpy(rows["colour"].astype(np.float32)) / 255
    quats = torch.from_numpy(rows["quat"].astype(np.float32)) / 128 - 1
    found = filled(
        torch.from_numpy(rows["mean"].astype(np.float32)), quats, scales.clamp_min(1e-9).log(),
        torch.logit(rgba[:, 3].clamp(1 / 512, 511 / 512)), (rgba[:, :3] - 0.5) / SH_CONSTANT, torch.zeros(n, 0, 3), 0,
    )  # fmt: skip
    return turned(found, Y_DOWN, back=True)
