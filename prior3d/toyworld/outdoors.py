"""Vehicles and buildings: functions that draw an object's proportions and say which solid takes which colour.

Coordinates are free (objects are centred and scaled afterwards); z is up and the front looks along +x.
"""

import numpy as np

from prior3d.toyworld.solids import (
    Pieces,
    Uniform,
    box,
    flat_shaded,
    four,
    frustum,
    lathe,
    merge,
    pair,
    prism,
    sphere,
    two_sided,
)


def car(u: Uniform) -> Pieces:
    """A car."""
    length, width, height = u(1.6, 1.9), u(0.75, 0.9), u(0.34, 0.44)
    cabin_length, shift = length * u(0.42, 0.52), -length * 0.08
    side = [(-cabin_length / 2, 0), (cabin_length / 2, 0), (cabin_length * 0.26, 0.36), (-cabin_length * 0.36, 0.36)]
    cabin = prism(side, width * 0.86).turned("x", 90).moved(x=shift, y=width * 0.43, z=0.2 + height)
    glass_outline = [(x * 0.86, 0.05 + z * 0.78) for x, z in side]
    glass = prism(glass_outline, width * 0.9).turned("x", 90).moved(x=shift, y=width * 0.45, z=0.2 + height)
    windscreen = prism([(x * 1.03, 0.05 + z * 0.8) for x, z in side], width * 0.7)
    windscreen = windscreen.turned("x", 90).moved(x=shift, y=width * 0.35, z=0.2 + height)
    wheel = frustum(0.24, 0.24, 0.16).turned("x", 90).moved(y=0.08, z=0.22)
    lamps = pair(sphere(0.09, 12).moved(x=length / 2 - 0.02, z=0.24 + height * 0.6), width * 0.32)
    return [
        (merge([box(length, width, height).moved(z=0.2), cabin]), "main"),
        (four(wheel, length * 0.3, width / 2), "part"),
        (merge([glass, windscreen]), "grey"),
        (lamps, "yellow"),
    ]


def rocket(u: Uniform) -> Pieces:
    """A rocket."""
    radius, height, nose = u(0.33, 0.42), u(1.0, 1.35), u(0.5, 0.7)
    body = lathe([(0, 0.15), (radius * 0.8, 0.15), (radius, 0.5), (radius, 0.15 + height), (0, 0.15 + height)])
    tip = lathe([(0, 0), (radius, 0), (radius * 0.6, nose * 0.55), (0, nose)]).moved(z=0.15 + height)
    blade = prism([(0, 0), (0.62, -0.25), (0.62, 0.2), (0, 0.6)], 0.09).turned("x", 90).moved(radius * 0.7, 0.045, 0.22)
    fins = merge([blade.turned("z", angle) for angle in (0, 90, 180, 270)])
    window = sphere(0.16, 16).moved(x=radius * 0.9, z=height * 0.82)
    return [(body, "main"), (merge([tip, fins]), "part"), (window, "teal")]


def boat(u: Uniform) -> Pieces:
    """A boat."""
    length, width, mast = u(0.85, 1.0), u(0.36, 0.46), u(1.3, 1.6)
    half = [
        (-length, -width * 0.8),
        (length * 0.45, -width),
        (length * 1.15, 0),
        (length * 0.45, width),
        (-length, width * 0.8),
    ]
    top, low = np.array(half), np.array(half) * [0.78, 0.55]
    hull = prism([(x, y) for x, y in top], 0.42)
    vertices = hull.vertices.copy()
    vertices[: len(half), :2] = low
    hull = flat_shaded(vertices, hull.faces)
    sail = two_sided(prism([(0.06, 0.5), (0.85, 0.55), (0.06, mast)], 0.04)).turned("x", 90).moved(x=-0.06, y=0.02)
    back = two_sided(prism([(-0.06, 0.5), (-0.06, mast * 0.92), (-0.7, 0.5)], 0.04)).turned("x", 90).moved(y=0.02)
    return [(hull, "main"), (merge([sail, back]), "part"), (frustum(0.045, 0.045, mast + 0.1), "brown")]


def plane(u: Uniform) -> Pieces:
    """A plane."""
    length, span = u(0.9, 1.05), u(0.95, 1.15)
    body = sphere().scaled(length, 0.22, 0.22)
    wing = prism([(-0.12, -span), (0.1, -span), (0.28, 0), (0.1, span), (-0.12, span), (-0.22, 0)], 0.07).moved(
        x=0.05, z=-0.03
    )
    tail = prism([(-0.12, -0.38), (0.05, -0.38), (0.14, 0), (0.05, 0.38), (-0.12, 0.38)], 0.05).moved(
        x=-length * 0.85, z=0.02
    )
    fin = (
        prism([(-0.2, 0), (0.2, 0), (-0.1, 0.45), (-0.25, 0.45)], 0.06)
        .turned("x", 90)
        .moved(x=-length * 0.8, y=0.03, z=0.08)
    )
    glass = sphere().scaled(0.2, 0.14, 0.12).moved(x=length * 0.55, z=0.15)
    return [(body, "main"), (merge([wing, tail, fin]), "part"), (glass, "teal")]


def house(u: Uniform) -> Pieces:
    """A house."""
    depth, width, height, top = u(1.0, 1.25), u(1.1, 1.35), u(0.7, 0.9), u(0.45, 0.65)
    gable = [(-width / 2 - 0.1, 0), (width / 2 + 0.1, 0), (0, top)]
    roof = prism(gable, depth + 0.2).turned("x", 90).turned("z", 90).moved(x=-depth / 2 - 0.1, z=height)
    front = depth / 2 + 0.005
    door = box(0.05, 0.26, 0.45).moved(x=front)
    windows = pair(box(0.05, 0.24, 0.24).moved(x=front, z=height * 0.48), width * 0.31)
    chimney = box(0.18, 0.18, 0.4).moved(x=-depth * 0.2, y=width * 0.27, z=height + top * 0.35)
    return [
        (box(depth, width, height), "main"),
        (roof.moved(x=-(roof.vertices[:, 0].max() + roof.vertices[:, 0].min()) / 2), "part"),
        (merge([door, chimney]), "brown"),
        (windows, "white"),
    ]


def tower(u: Uniform) -> Pieces:
    """A tower."""
    radius, height, roof = u(0.42, 0.5), u(1.0, 1.3), u(0.6, 0.8)
    walls = merge([frustum(radius * 1.1, radius, height), frustum(radius * 1.15, radius * 1.15, 0.16).moved(z=height)])
    spire = lathe([(0, 0), (radius * 1.35, 0), (0, roof)]).moved(z=height + 0.14)
    door = box(0.1, 0.26, 0.42).moved(x=radius * 1.06)
    window = box(0.1, 0.16, 0.24).moved(x=radius * 1.0, z=height * 0.65)
    return [(walls, "main"), (spire, "part"), (door, "brown"), (window, "black")]
