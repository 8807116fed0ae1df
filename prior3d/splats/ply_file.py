"""Splats as PLY, in the layout of 3D Gaussian splatting (Kerbl et al. 2023), which all programs for splats read."""

from typing import Any

import numpy as np
import torch

from prior3d.splats.checks import BadSplats, check_count, degree_of, filled
from prior3d.splats.frames import Y_DOWN, turned
from prior3d.splats.model import Splats

LONGEST_HEADER = 65_536  # bytes
KINDS = {"float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8", "uchar": "u1", "uint8": "u1"}
KINDS |= {"int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "short": "<i2", "ushort": "<u2", "char": "i1"}
PLACE = ("x", "y", "z")
SHAPE = ("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")
COLOUR = ("f_dc_0", "f_dc_1", "f_dc_2")


def ply_bytes(splats: Splats) -> bytes:
    """The content of a file: y down, as captures by COLMAP have it, so that viewers show it upright."""
    there = turned(splats, Y_DOWN)
    n, rest = there.config.n_splats, 3 * there.config.n_coefficients
    names = [*PLACE, "nx", "ny", "nz", *COLOUR, *(f"f_rest_{k}" for k in range(rest)), *SHAPE]
    columns = [
        there.means, torch.zeros(n, 3), there.sh0[:, 0], there.shN.transpose(1, 2).reshape(n, rest),
        there.opacities[:, None], there.scales, there.quats,
    ]  # fmt: skip
    values = torch.cat([column.detach() for column in columns], 1).numpy().astype("<f4")
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {n}"]
    lines += [*(f"property float {name}" for name in names), "end_header"]
    return ("\n".join(lines) + "\n").encode() + values.tobytes()


def read_ply_bytes(content: bytes) -> Splats:
    """Splats of a file's content (raises BadSplats)."""
    count, layout, start = _header(content)
    lost = [name for name in (*PLACE, *COLOUR, *SHAPE) if name not in (layout.names or ())]
    if lost:
        raise BadSplats(f"it lacks the property {lost[0]}: no Gaussian splats, or packed by another program")
    n_rest = sum(name.startswith("f_rest_") for name in layout.names or ())
    degree = degree_of(n_rest, "f_rest_ properties")
    check_count(count, layout.itemsize, len(content) - start)
    rows = np.frombuffer(content, layout, count, start)

    def columns(*names: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([rows[name].astype(np.float32) for name in names], 1))

    rest = [f"f_rest_{k}" for k in range(n_rest)]
    shape = columns(*SHAPE)
    sh = columns(*rest).view(count, 3, n_rest // 3).transpose(1, 2) if rest else torch.zeros(count, 0, 3)
    found = filled(columns(*PLACE), shape[:, 4:], shape[:, 1:4], shape[:, 0], columns(*COLOUR), sh, degree)
    return turned(found, Y_DOWN, back=True)


def _header(content: bytes) -> tuple[int, np.dtype[Any], int]:
    """How many Gaussians, the layout of one, and where they begin."""
    end = content.find(b"end_header\n", 0, LONGEST_HEADER)
    if not content.startswith(b"ply\n") or end < 0:
        raise BadSplats("it does not begin with the header of a PLY file")
    count, fields, elements = -1, list[tuple[str, str]](), 0
    for line in content[:end].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        if words[:1] == ["format"] and words[1:] != ["binary_little_endian", "1.0"]:
            raise BadSplats(f"its format is {' '.join(words[1:])}, only binary_little_endian 1.0 is read")
        if words[:1] == ["element"]:
            elements += 1
            if elements > 1 or len(words) != 3 or words[1] != "vertex" or not words[2].isdigit():
                raise BadSplats(f"its header has {line.strip()!r}, where only the element vertex is read")
            count = int(words[2])
        if words[:1] == ["property"]:
            if len(words) != 3 or words[1] not in KINDS or words[2] in dict(fields):
                raise BadSplats(f"its header has {line.strip()!r}, which is no property of splats")
            fields.append((words[2], KINDS[words[1]]))
    if count < 0 or not fields:
        raise BadSplats("its header names no vertices")
    return count, np.dtype(fields), end + len(b"end_header\n")
