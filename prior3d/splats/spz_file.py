"""Splats as SPZ, version 2 (Niantic): about a tenth of a PLY, 8 bits for most numbers, 24 for places."""

import gzip
import struct
from pathlib import Path

import numpy as np
import torch

from prior3d.limits import LARGEST_UNPACKED, unpack_gzip
from prior3d.splats.checks import BadSplats, check_count, filled
from prior3d.splats.frames import Y_UP, turned
from prior3d.splats.model import HIGHEST_DEGREE, Splats

MAGIC, VERSION, HEADER = 0x5053474E, 2, struct.Struct("<IIIBBBB")
FRACTION_BITS = 12
COLOUR_SCALE = 0.15
MOST_UNPACKED_OF_A_BYTE = 1100  # deflate reaches 1032
BUCKETS = (8, 16)  # of 256 steps: of harmonics of degree 1, and of higher ones


def spz_bytes(splats: Splats) -> bytes:
    """The content of a file: y up, as the format says."""
    there = turned(splats, Y_UP)
    n, coefficients = there.config.n_splats, there.config.n_coefficients
    with torch.no_grad():
        places = (there.means * (1 << FRACTION_BITS)).round().clamp(-(2**23), 2**23 - 1).int().numpy()
        quats = there.quats * torch.where(there.quats[:, :1] < 0, -1.0, 1.0) / there.quats.norm(dim=-1, keepdim=True)
        parts = [
            there.opacities.sigmoid() * 255, there.sh0[:, 0] * (COLOUR_SCALE * 255) + 127.5,
            (there.scales + 10) * 16, quats[:, 1:] * 127.5 + 127.5,
        ]  # fmt: skip
        numbers = (there.shN * 128).round() + 128
        bucket = torch.tensor([BUCKETS[0]] * 3 + [BUCKETS[1]] * 12)[:coefficients, None]
        parts.append(torch.floor((numbers + bucket // 2) / bucket) * bucket)
    packed = places.astype("<i4").view(np.uint8).reshape(n, 3, 4)[..., :3].tobytes()
    packed += b"".join(part.round().clamp(0, 255).byte().numpy().tobytes() for part in parts)
    header = HEADER.pack(MAGIC, VERSION, n, there.config.sh_degree, FRACTION_BITS, 0, 0)
    return gzip.compress(header + packed, mtime=0)


def read_spz(path: Path, size: int) -> Splats:
    """Splats of a file of so many bytes (raises BadSplats)."""
    try:
        content = unpack_gzip(path, min(LARGEST_UNPACKED, MOST_UNPACKED_OF_A_BYTE * size))
    except (OSError, ValueError) as error:
        raise BadSplats(f"no whole SPZ ({error})") from error
    if len(content) < HEADER.size:
        raise BadSplats("it is cut off in its header")
    magic, version, n, degree, fraction_bits, _, _ = HEADER.unpack_from(content)
    if magic != MAGIC or version != VERSION or degree > HIGHEST_DEGREE or fraction_bits > 23:
        raise BadSplats(f"no SPZ of version {VERSION} and degree 0 to {HIGHEST_DEGREE} (version {version})")
    coefficients = (degree + 1) ** 2 - 1
    check_count(n, 19 + 3 * coefficients, len(content) - HEADER.size)
    place = HEADER.size

    def column(width: int) -> np.ndarray:
        nonlocal place
        found = np.frombuffer(content, np.uint8, n * width, place).reshape(n, width)
        place += n * width
        return found

    raw = column(9).reshape(n, 3, 3).astype(np.int32)
    means = (raw[..., 0] | raw[..., 1] << 8 | raw[..., 2] << 16) << 8 >> 8
    alphas, colours, scales, xyz, rest = (
        torch.from_numpy(column(width).astype(np.float32)) for width in (1, 3, 3, 3, 3 * coefficients)
    )
    vector = xyz / 127.5 - 1
    real = (1 - vector.square().sum(-1, keepdim=True)).clamp_min(0).sqrt()
    quats = torch.cat([real, vector], 1)
    found = filled(
        torch.from_numpy(means.astype(np.float32)) / (1 << fraction_bits),
        torch.where(quats.norm(dim=-1, keepdim=True) > 0, quats, 1.0), scales / 16 - 10,
        torch.logit((alphas[:, 0] / 255).clamp(1 / 512, 511 / 512)), (colours / 255 - 0.5) / COLOUR_SCALE,
        ((rest - 128) / 128).view(n, coefficients, 3), degree,
    )  # fmt: skip
    return turned(found, Y_UP, back=True)
