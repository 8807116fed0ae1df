"""Vehicles and buildings. Coordinates are free; z is up and the front looks along +x."""

import numpy as np

from prior3d.toyworld.solids import (
    Pieces,
    Solid,
    Uniform,
    box,
    dome,
    four,
    frustum,
    lathe,
    merge,
    pair,
    pipe,
    prism,
    sphere,
    torus,
)
from prior3d.wideworld.food import around


def wheels(radius: float, xs: tuple[float, ...], y: float, thick: float = 0.16) -> Solid:
    """Pairs of wheels on the ground."""
    one = frustum(radius, radius, thick).turned("x", 90).moved(y=thick / 2, z=radius)
    return merge([pair(one.moved(x=x), y) for x in xs])


def gable(x: float, y: float, height: float) -> Solid:
    """A ridged roof over a rectangle, its ridge along x."""
    return prism([(0, -y / 2), (height, 0), (0, y / 2)], x).turned("y", -90).moved(x=x / 2)


def panes(x: float, y: float, z: float, side: float) -> Solid:
    """A square pane on the front."""
    return box(0.05, side, side).moved(x, y, z)


def truck(u: Uniform) -> Pieces:
    """A truck."""
    long, tall = u(1.1, 1.4), u(0.65, 0.8)
    cargo = box(long, 0.76, tall).moved(x=-0.35, z=0.34)
    x = long / 2 - 0.35 + 0.32
    cab = merge([box(0.5, 0.7, 0.36).moved(x=x, z=0.26), box(0.36, 0.66, 0.34).moved(x=x - 0.06, z=0.6)])
    glass = merge(
        [box(0.04, 0.54, 0.22).moved(x=x + 0.13, z=0.66), pair(box(0.2, 0.03, 0.2).moved(x=x - 0.04, z=0.66), 0.335)]
    )
    lights = pair(sphere(0.07, 10).moved(x=x + 0.25, z=0.4), 0.24)
    return [
        (cargo, "main"),
        (cab, "part"),
        (wheels(0.22, (-0.35 - long * 0.3, x - 0.02), 0.36), "black"),
        (glass, "teal"),
        (merge([lights]), "yellow"),
    ]


def bus(u: Uniform) -> Pieces:
    """A bus."""
    long, tall = u(1.8, 2.2), u(0.72, 0.86)
    row = [pair(box(0.24, 0.03, 0.26).moved(x=x, z=0.2 + tall * 0.52), 0.37) for x in np.linspace(-0.4, 0.36, 5) * long]
    front = box(0.03, 0.56, 0.34).moved(x=long / 2, z=0.2 + tall * 0.45)
    stripe = merge(
        [
            pair(box(long * 0.99, 0.02, 0.1).moved(z=0.2 + tall * 0.3), 0.375),
            box(long * 0.9, 0.6, 0.06).moved(z=0.2 + tall),
        ]
    )
    return [
        (box(long, 0.74, tall).moved(z=0.2), "main"),
        (stripe, "part"),
        (merge([*row, front]), "black"),
        (wheels(0.22, (-long * 0.3, long * 0.3), 0.33), "black"),
    ]


def train(u: Uniform) -> Pieces:
    """A steam locomotive."""
    long, radius = u(1.1, 1.3), u(0.3, 0.36)
    boiler = frustum(radius, radius, long).turned("y", 90).moved(x=-0.2, z=0.62)
    cab = box(0.55, 0.78, 0.95).moved(x=-0.42, z=0.3)
    roof = box(0.68, 0.9, 0.08).moved(x=-0.42, z=1.24)
    stack = merge(
        [frustum(0.11, 0.16, 0.45).moved(x=long - 0.42, z=0.85), dome(0.14, 0.2).moved(x=long * 0.45 - 0.2, z=0.9)]
    )
    plough = prism([(0, -0.36), (0.34, 0), (0, 0.36)], 0.24).moved(x=long - 0.22, z=0.1)
    return [
        (merge([boiler, cab]), "main"),
        (merge([roof, stack, plough, box(long + 0.5, 0.5, 0.12).moved(x=0.1, z=0.26)]), "part"),
        (wheels(0.24, (-0.45, 0.1, 0.6), 0.34, 0.1), "black"),
        (pair(box(0.3, 0.04, 0.3).moved(x=-0.42, z=0.82), 0.385), "white"),
    ]


def helicopter(u: Uniform) -> Pieces:
    """A helicopter."""
    long = u(0.62, 0.72)
    hull = [
        sphere().scaled(long, 0.42, 0.45).moved(z=0.62),
        frustum(0.16, 0.07, 1.2).turned("y", -84).moved(x=-0.35, z=0.68),
    ]
    fin = box(0.24, 0.05, 0.5).moved(x=-1.5, z=0.6)
    blades = merge([box(2.2, 0.14, 0.035), box(0.14, 2.2, 0.035)]).turned("z", u(10, 80)).moved(z=1.24)
    rotor = merge(
        [blades, frustum(0.06, 0.06, 0.3).moved(z=1.0), torus(0.2, 0.04).turned("x", 90).moved(x=-1.52, z=0.86)]
    )
    skid = merge(
        [
            frustum(0.045, 0.045, 1.3).turned("y", 90).moved(x=-0.6, z=0.06),
            *(frustum(0.04, 0.04, 0.34).moved(x=x) for x in (-0.25, 0.25)),
        ]
    )
    return [
        (merge([*hull, fin]), "main"),
        (merge([rotor, pair(skid, 0.36)]), "part"),
        (sphere().scaled(long * 0.6, 0.36, 0.32).moved(x=long * 0.46, z=0.7), "black"),
    ]


def submarine(u: Uniform) -> Pieces:
    """A submarine."""
    long = u(1.05, 1.25)
    hull = sphere().scaled(long, 0.4, 0.4).moved(z=0.45)
    tower = merge(
        [box(0.45, 0.26, 0.36).moved(z=0.78), pipe(np.array([[0.05, 0, 1.1], [0.05, 0, 1.42], [0.2, 0, 1.45]]), 0.045)]
    )
    blades = merge([box(0.06, 0.75, 0.14), box(0.06, 0.14, 0.75).moved(z=-0.3)]).moved(x=-long, z=0.4)
    ports = merge([pair(frustum(0.11, 0.11, 0.06).turned("x", 90).moved(x=x, z=0.52), 0.385) for x in (-0.4, 0.0, 0.4)])
    return [(hull, "main"), (merge([tower, blades]), "part"), (ports, "white")]


def castle(u: Uniform) -> Pieces:
    """A castle with four towers."""
    side, wall, tall = u(0.6, 0.7), u(0.55, 0.7), u(0.95, 1.15)
    teeth = [
        box(0.13, 0.13, 0.13).moved(x, y, wall)
        for t in np.linspace(-0.7, 0.7, 5) * side
        for x, y in ((side, t), (-side, t), (t, side), (t, -side))
    ]
    body = merge([box(2 * side, 2 * side, wall), *teeth, four(frustum(0.25, 0.23, tall), side, side)])
    roofs = four(lathe([(0, 0), (0.32, 0), (0, 0.45)]).moved(z=tall), side, side)
    return [(body, "main"), (roofs, "part"), (box(0.06, 0.34, 0.42).moved(x=side), "brown")]


def lighthouse(u: Uniform) -> Pieces:
    """A lighthouse."""
    low, high, tall = u(0.42, 0.5), u(0.24, 0.3), u(1.4, 1.7)
    cap = merge(
        [
            lathe([(0, 0), (high * 1.3, 0), (0, 0.35)]).moved(z=tall + 0.36),
            frustum(high * 1.45, high * 1.45, 0.07).moved(z=tall),
        ]
    )
    return [
        (frustum(low, high, tall), "main"),
        (cap, "part"),
        (frustum(high * 0.75, high * 0.75, 0.32).moved(z=tall + 0.05), "yellow"),
        (box(0.1, 0.24, 0.4).moved(x=low - 0.06), "brown"),
    ]


def windmill(u: Uniform) -> Pieces:
    """A windmill."""
    low, high, tall = u(0.48, 0.56), u(0.3, 0.36), u(1.1, 1.3)
    arm = merge([box(0.05, 0.06, 0.95), box(0.03, 0.26, 0.72).moved(y=0.15, z=0.2)])
    sails = merge([arm.turned("x", 90 * i + 20) for i in range(4)]).moved(x=high + 0.16, z=tall + 0.02)
    axle = frustum(0.07, 0.07, 0.4).turned("y", 90).moved(x=high - 0.2, z=tall + 0.02)
    cap = dome(high * 1.12, 0.4).moved(z=tall)
    return [
        (merge([frustum(low, high, tall), cap]), "main"),
        (merge([sails, axle]), "part"),
        (box(0.1, 0.26, 0.4).moved(x=low - 0.08), "brown"),
        (panes(high + 0.08, 0, tall * 0.62, 0.16), "white"),
    ]


def church(u: Uniform) -> Pieces:
    """A church with a steeple."""
    long, wide, wall = u(1.2, 1.4), u(0.7, 0.8), u(0.55, 0.65)
    tall = wall + u(0.5, 0.65)
    nave = box(long, wide, wall).moved(x=-0.2)
    tower = box(0.42, 0.42, tall).moved(x=long / 2 - 0.1)
    roofs = [
        gable(long, wide * 1.1, 0.42).moved(x=-0.2, z=wall),
        lathe([(0, 0), (0.36, 0), (0, 0.75)], segments=4).turned("z", 45).moved(x=long / 2 - 0.1, z=tall),
    ]
    door = box(0.05, 0.2, 0.34).moved(x=long / 2 + 0.12)
    windows = merge([pair(box(0.16, 0.04, 0.3).moved(x=x, z=0.18), wide / 2) for x in (-0.55, -0.2, 0.15)])
    return [(merge([nave, tower]), "main"), (merge(roofs), "part"), (door, "brown"), (windows, "yellow")]


def tent(u: Uniform) -> Pieces:
    """A tent."""
    long, wide, tall = u(1.3, 1.6), u(1.1, 1.3), u(0.8, 1.0)
    flap = prism([(0, -wide * 0.2), (tall * 0.72, 0), (0, wide * 0.2)], 0.04).turned("y", -90).moved(x=long / 2 + 0.04)
    poles = merge([frustum(0.03, 0.03, tall + 0.14).moved(x=x) for x in (-long / 2, long / 2)])
    pegs = four(frustum(0.05, 0.04, 0.12), long / 2, wide / 2 + 0.12)
    return [(gable(long, wide, tall), "main"), (flap, "part"), (merge([poles, pegs, around(1, poles)]), "brown")]
