"""A sparse model of one image in COLMAP's binary layout."""

import struct

COLMAP_MODEL = {
    "cameras.bin": struct.pack("<QIiQQ3d", 1, 1, 0, 16, 12, 20, 8, 6),
    "images.bin": struct.pack("<QI7dI", 1, 1, 1, 0, 0, 0, 0, 0, 4, 1) + b"a.png\0" + struct.pack("<QddQ", 1, 1, 2, 9),
    "points3D.bin": struct.pack("<QQ3d3BdQII", 1, 9, 0, 0, 0, 1, 2, 3, 0.5, 1, 1, 0),
    "rigs.bin": struct.pack("<QIIII", 1, 1, 1, 0, 1),
    "frames.bin": struct.pack("<QII7dIiIQ", 1, 1, 1, 1, 0, 0, 0, 0, 0, 4, 1, 0, 1, 1),
}
