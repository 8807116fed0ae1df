"""Spherical harmonics of one direction and their derivatives, by loops that numba compiles."""

from typing import Any, no_type_check

import numpy as np

from prior3d.splats.kernels import TWO, ZERO, compiled


@compiled
@no_type_check
def fill_harmonics(x: Any, y: Any, z: Any, n: int, values: Any) -> None:
    """Fill the harmonics of a direction, [k, 0], and their derivatives by x, y and z, [k, 1:]; see `real_harmonics`."""
    values[0, 0], values[0, 1], values[0, 2], values[0, 3] = np.float32(0.28209479177387814), ZERO, ZERO, ZERO
    if n >= 4:
        c = np.float32(0.48860251190291987)
        values[1, 0], values[1, 1], values[1, 2], values[1, 3] = -c * y, ZERO, -c, ZERO
        values[2, 0], values[2, 1], values[2, 2], values[2, 3] = c * z, ZERO, ZERO, c
        values[3, 0], values[3, 1], values[3, 2], values[3, 3] = -c * x, -c, ZERO, ZERO
    if n >= 9:
        a, b, d = np.float32(1.0925484305920792), np.float32(0.31539156525252005), np.float32(0.5462742152960396)
        values[4, 0], values[4, 1], values[4, 2], values[4, 3] = a * x * y, a * y, a * x, ZERO
        values[5, 0], values[5, 1], values[5, 2], values[5, 3] = -a * y * z, ZERO, -a * z, -a * y
        values[6, 0] = b * (TWO * z * z - x * x - y * y)
        values[6, 1], values[6, 2], values[6, 3] = -TWO * b * x, -TWO * b * y, TWO * TWO * b * z
        values[7, 0], values[7, 1], values[7, 2], values[7, 3] = -a * x * z, -a * z, ZERO, -a * x
        values[8, 0] = d * (x * x - y * y)
        values[8, 1], values[8, 2], values[8, 3] = TWO * d * x, -TWO * d * y, ZERO
    if n >= 16:
        _third_degree(x, y, z, values)


@compiled
@no_type_check
def _third_degree(x: Any, y: Any, z: Any, values: Any) -> None:
    """Fill the harmonics of degree 3 and their derivatives."""
    e, f, g = np.float32(-0.5900435899266435), np.float32(2.890611442640554), np.float32(-0.4570457994644658)
    h, i = np.float32(0.3731763325901154), np.float32(1.445305721320277)
    three, four, six, eight = np.float32(3), np.float32(4), np.float32(6), np.float32(8)
    xx, yy, zz = x * x, y * y, z * z
    values[9, 0] = e * y * (three * xx - yy)
    values[9, 1], values[9, 2], values[9, 3] = six * e * x * y, three * e * (xx - yy), ZERO
    values[10, 0], values[10, 1], values[10, 2], values[10, 3] = f * x * y * z, f * y * z, f * x * z, f * x * y
    values[11, 0] = g * y * (four * zz - xx - yy)
    values[11, 1], values[11, 2] = -TWO * g * x * y, g * (four * zz - xx - three * yy)
    values[11, 3] = eight * g * y * z
    values[12, 0] = h * z * (TWO * zz - three * xx - three * yy)
    values[12, 1], values[12, 2] = -six * h * x * z, -six * h * y * z
    values[12, 3] = h * (six * zz - three * xx - three * yy)
    values[13, 0] = g * x * (four * zz - xx - yy)
    values[13, 1], values[13, 2] = g * (four * zz - three * xx - yy), -TWO * g * x * y
    values[13, 3] = eight * g * x * z
    values[14, 0] = i * z * (xx - yy)
    values[14, 1], values[14, 2], values[14, 3] = TWO * i * x * z, -TWO * i * y * z, i * (xx - yy)
    values[15, 0] = e * x * (xx - three * yy)
    values[15, 1], values[15, 2], values[15, 3] = three * e * (xx - yy), -six * e * x * y, ZERO
