"""Vessels, tools, furniture. Coordinates are free; z is up and the front looks along +x."""

from collections.abc import Sequence

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
    sphere,
    torus,
)
from prior3d.wideworld.food import around


def hollow(outer: Sequence[tuple[float, float]], wall: float = 0.07, smooth: bool = True) -> Solid:
    """An open vessel: an outer profile from its foot to its rim, and the same again inside."""
    inner = [(max(radius - wall, 0.02), max(height, wall)) for radius, height in reversed(outer[1:])]
    return lathe([(0, 0), *outer, *inner, (0, wall)], smooth=smooth)


def loop(width: float, height: float, thick: float) -> Solid:
    """A handle at y = 0 and beyond, about z = 0, in the plane x = 0."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, 12)
    return pipe(np.stack([0 * angles, width * np.cos(angles), height * np.sin(angles)], axis=1), thick)


def teapot(u: Uniform) -> Pieces:
    """A teapot."""
    wide, tall = u(0.6, 0.7), u(0.75, 0.9)
    belly = lathe(
        [(0, 0), (wide * 0.6, 0), (wide, tall * 0.45), (wide * 0.8, tall * 0.85), (0.3, tall), (0, tall)], True
    )
    spout = pipe(np.array([[0, -wide * 0.8, 0.3], [0, -wide * 1.15, 0.45], [0, -wide * 1.4, tall * 0.98]]), 0.1)
    lid = merge([dome(0.32, 0.16), sphere(0.09).moved(z=0.22)]).moved(z=tall - 0.03)
    return [
        (merge([belly, spout]), "main"),
        (merge([lid, loop(0.42, 0.3, 0.07).moved(y=wide * 0.72, z=tall * 0.5)]), "part"),
    ]


def bowl(u: Uniform) -> Pieces:
    """A bowl."""
    wide, tall = u(0.8, 0.95), u(0.45, 0.6)
    cup = hollow([(0.3, 0.1), (wide * 0.6, 0.16), (wide * 0.9, tall * 0.6), (wide, tall)])
    return [(cup, "main"), (frustum(0.36, 0.3, 0.12), "part")]


def bucket(u: Uniform) -> Pieces:
    """A bucket."""
    low, high, tall = u(0.4, 0.48), u(0.6, 0.7), u(0.85, 1.0)
    angles = np.linspace(0, np.pi, 14)
    arc = np.stack([0 * angles, high * np.cos(angles), tall + u(0.4, 0.6) * np.sin(angles)], axis=1)
    return [
        (hollow([(low, 0), (high, tall)], smooth=False), "main"),
        (merge([pipe(arc, 0.05), torus(high, 0.05).moved(z=tall)]), "part"),
    ]


def jug(u: Uniform) -> Pieces:
    """A jug."""
    wide, tall = u(0.46, 0.54), u(1.1, 1.3)
    body = hollow([(wide * 0.7, 0), (wide, tall * 0.35), (wide * 0.55, tall * 0.8), (wide * 0.7, tall)])
    lip = lathe([(0, 0), (0.14, 0.2), (0, 0.22)]).moved(y=-wide * 0.66, z=tall - 0.2)
    return [(merge([body, lip]), "main"), (loop(0.4, tall * 0.32, 0.07).moved(y=wide * 0.6, z=tall * 0.55), "part")]


def goblet(u: Uniform) -> Pieces:
    """A goblet."""
    wide, stem = u(0.42, 0.5), u(0.5, 0.7)
    cup = hollow([(0.1, 0), (wide, 0.3), (wide * 0.95, 0.75)]).moved(z=stem)
    foot = lathe([(0, 0), (0.4, 0), (0.4, 0.06), (0.08, 0.14), (0.07, stem + 0.05), (0, stem + 0.05)])
    return [(cup, "main"), (foot, "part")]


def pan(u: Uniform) -> Pieces:
    """A frying pan."""
    wide = u(0.62, 0.72)
    grip = box(0.16, u(0.9, 1.1), 0.09).moved(y=wide + 0.45, z=0.12)
    return [(hollow([(wide * 0.85, 0), (wide, 0.28)], 0.06, smooth=False), "main"), (grip, "part")]


def candle(u: Uniform) -> Pieces:
    """A candle on a holder."""
    radius, tall = u(0.16, 0.22), u(0.9, 1.2)
    holder = merge([hollow([(0.45, 0), (0.55, 0.14)], 0.06), frustum(radius * 1.4, radius * 1.3, 0.25)])
    flame = lathe([(0, 0), (0.11, 0.12), (0, 0.4)], smooth=True).moved(z=tall + 0.18)
    grip = loop(0.22, 0.16, 0.05).moved(y=0.5, z=0.14)
    return [(frustum(radius, radius, tall).moved(z=0.15), "main"), (merge([holder, grip]), "part"), (flame, "orange")]


def bell(u: Uniform) -> Pieces:
    """A hand bell."""
    wide, tall = u(0.58, 0.68), u(0.75, 0.9)
    cup = hollow([(wide, 0), (wide * 0.7, 0.25), (wide * 0.5, tall * 0.75), (0.12, tall)], 0.06)
    return [
        (cup, "main"),
        (merge([frustum(0.1, 0.12, 0.5), sphere(0.16).moved(z=0.5)]).moved(z=tall - 0.05), "part"),
        (sphere(0.14).moved(z=0.04), "black"),
    ]


def drum(u: Uniform) -> Pieces:
    """A drum with two sticks."""
    wide, tall = u(0.66, 0.76), u(0.6, 0.8)
    rims = merge([torus(wide, 0.06), torus(wide, 0.06).moved(z=tall)])
    stick = merge([frustum(0.04, 0.05, 1.0), sphere(0.09, 12)]).turned("y", 78).moved(x=-0.35, z=tall + 0.12)
    return [
        (frustum(wide, wide, tall), "main"),
        (rims, "part"),
        (merge([stick.turned("z", 25), stick.turned("z", -25)]), "brown"),
    ]


def hat(u: Uniform) -> Pieces:
    """A top hat."""
    wide, tall = u(0.42, 0.5), u(0.6, 0.85)
    brim = frustum(wide * 1.75, wide * 1.75, 0.08)
    return [
        (merge([brim, frustum(wide, wide * 1.06, tall)]), "main"),
        (frustum(wide * 1.03, wide * 1.04, 0.18).moved(z=0.08), "part"),
    ]


def hammer(u: Uniform) -> Pieces:
    """A hammer that stands on its grip."""
    tall = u(1.3, 1.6)
    head = merge(
        [
            frustum(0.2, 0.2, 0.55).turned("x", 90).moved(y=0.55),
            box(0.22, 0.35, 0.22).moved(z=-0.11),
            lathe([(0, 0), (0.18, 0), (0.02, 0.4)]).turned("x", 90).moved(y=-0.15),
        ]
    )
    return [(head.moved(z=tall), "main"), (frustum(0.12, 0.09, tall + 0.1), "part")]


def barrel(u: Uniform) -> Pieces:
    """A barrel."""
    end, middle, tall = u(0.42, 0.48), u(0.56, 0.62), u(1.1, 1.3)
    profile = [
        (0, 0),
        (end, 0),
        (middle * 0.97, tall * 0.3),
        (middle, tall * 0.5),
        (middle * 0.97, tall * 0.7),
        (end, tall),
    ]
    hoops = [
        torus(r, 0.045).moved(z=z * tall)
        for r, z in ((end, 0.03), (middle * 0.97, 0.3), (middle * 0.97, 0.7), (end, 0.97))
    ]
    return [(lathe([*profile, (0, tall)]), "main"), (merge(hoops), "part")]


def clock(u: Uniform) -> Pieces:
    """An alarm clock."""
    radius = u(0.6, 0.7)
    case = frustum(radius, radius, 0.36).turned("y", 90).moved(x=-0.18, z=radius + 0.2)
    face = frustum(radius * 0.84, radius * 0.84, 0.05).turned("y", 90).moved(x=0.17, z=radius + 0.2)
    hands = merge([box(0.04, 0.07, radius * 0.65), box(0.04, 0.07, radius * 0.5).turned("x", u(60, 300))])
    ears = pair(dome(0.24, 0.2).turned("x", -28).moved(z=radius * 2 + 0.16), 0.36)
    legs = pair(frustum(0.05, 0.09, 0.4), radius * 0.55)
    return [
        (case, "main"),
        (merge([ears, legs]), "part"),
        (face, "white"),
        (hands.moved(x=0.24, z=radius + 0.2), "black"),
    ]


def gift_box(u: Uniform) -> Pieces:
    """A gift box with a bow."""
    x, y, z = u(0.8, 1.0), u(0.8, 1.0), u(0.55, 0.85)
    ribbon = [box(x * 1.02, 0.18, z * 1.02), box(0.18, y * 1.02, z * 1.02)]
    bow = [
        torus(0.17, 0.06).turned("y", 90).turned("x", a).moved(y=s * 0.2, z=z + 0.2) for s, a in ((1, -30), (-1, 30))
    ]
    return [(box(x, y, z), "main"), (merge([*ribbon, *bow, sphere(0.1).moved(z=z + 0.08)]), "part")]


def bed(u: Uniform) -> Pieces:
    """A bed."""
    long, wide, head = u(1.7, 2.0), u(0.95, 1.2), u(0.65, 0.85)
    frame = merge(
        [
            box(long, wide, 0.2).moved(z=0.22),
            box(0.1, wide, head).moved(x=-long / 2),
            box(0.1, wide, head * 0.6).moved(x=long / 2),
            four(box(0.12, 0.12, 0.25), long / 2 - 0.06, wide / 2 - 0.06),
        ]
    )
    cover = box(long * 0.62, wide * 1.02, 0.2).moved(x=long * 0.17, z=0.42)
    pillow = sphere().scaled(0.2, wide * 0.32, 0.12).moved(x=-long * 0.34, z=0.56)
    return [
        (frame, "main"),
        (cover, "part"),
        (merge([pillow, box(long * 0.9, wide * 0.96, 0.14).moved(z=0.42)]), "white"),
    ]


def bench(u: Uniform) -> Pieces:
    """A bench of slats."""
    wide = u(1.5, 1.8)
    slats = [box(0.16, wide, 0.07).moved(x=x, z=0.5) for x in (-0.22, 0.0, 0.22)]
    slats += [box(0.06, wide, 0.16).moved(x=-0.36 - 0.05 * i, z=0.68 + 0.22 * i) for i in range(2)]
    side = merge(
        [box(0.6, 0.09, 0.09).moved(z=0.42), box(0.09, 0.09, 0.45).moved(x=0.25), box(0.09, 0.09, 1.05).moved(x=-0.38)]
    )
    return [(merge(slats), "main"), (pair(side, wide * 0.38), "part")]


def stool(u: Uniform) -> Pieces:
    """A round stool with three legs."""
    seat, tall = u(0.42, 0.52), u(0.75, 1.0)
    leg = frustum(0.08, 0.06, tall * 1.04).turned("y", -14).moved(x=seat * 0.95)
    return [
        (frustum(seat, seat * 1.05, 0.14).moved(z=tall), "main"),
        (merge([around(3, leg), torus(seat * 0.72, 0.04).moved(z=tall * 0.4)]), "part"),
    ]


def desk(u: Uniform) -> Pieces:
    """A desk with drawers on one side."""
    wide, deep, tall = u(1.5, 1.75), u(0.7, 0.85), u(0.75, 0.9)
    chest = box(deep * 0.9, wide * 0.32, tall).moved(y=wide * 0.32)
    drawers = [
        box(0.06, wide * 0.26, tall * 0.24).moved(x=deep * 0.46, y=wide * 0.32, z=tall * (0.06 + 0.31 * i))
        for i in range(3)
    ]
    legs = merge([box(0.1, 0.1, tall).moved(x, -wide * 0.44) for x in (-deep * 0.4, deep * 0.4)])
    return [(merge([box(deep, wide, 0.1).moved(z=tall), chest, legs]), "main"), (merge(drawers), "part")]


def bookcase(u: Uniform) -> Pieces:
    """A bookcase with books."""
    wide, tall, deep = u(0.9, 1.2), u(1.5, 1.8), 0.4
    shelves = [box(deep, wide, 0.07).moved(z=z * tall) for z in (0, 0.32, 0.64, 0.97)]
    frame = merge([*shelves, pair(box(deep, 0.07, tall), wide / 2), box(0.05, wide, tall).moved(x=-deep / 2)])
    rows: list[list[Solid]] = [[], []]
    for row in range(3):
        for i in range(7):
            book = box(deep * 0.7, wide * u(0.07, 0.11), tall * u(0.17, 0.25))
            rows[i % 2].append(book.moved(y=(i - 3) * wide * 0.125, z=(0.04 + 0.32 * row) * tall))
    return [(frame, "main"), (merge(rows[0]), "part"), (merge(rows[1]), "white")]


def television(u: Uniform) -> Pieces:
    """A television with feelers."""
    wide, tall = u(1.2, 1.4), u(0.85, 1.0)
    case = box(0.55, wide, tall).moved(z=0.18)
    screen = box(0.05, wide * 0.72, tall * 0.74).moved(x=0.27, y=-wide * 0.08, z=0.18 + tall * 0.13)
    knobs = merge([sphere(0.07, 12).moved(x=0.3, y=wide * 0.4, z=0.18 + tall * z) for z in (0.35, 0.6)])
    feelers = merge([frustum(0.025, 0.02, 0.6).turned("x", a).moved(z=tall + 0.15) for a in (-28, 28)])
    legs = four(frustum(0.05, 0.07, 0.2), 0.18, wide * 0.38)
    return [(case, "main"), (merge([legs, knobs, feelers]), "part"), (screen, "grey" if u(0, 1) < 0.5 else "black")]
