"""Plants and figures: functions that draw an object's proportions and say which solid takes which colour.

Coordinates are free (objects are centred and scaled afterwards); z is up and the front looks along +x.
"""

import numpy as np

from prior3d.toyworld.solids import (
    Pieces,
    Uniform,
    box,
    dome,
    frustum,
    lathe,
    merge,
    pair,
    pipe,
    prism,
    sphere,
    two_sided,
)


def mushroom(u: Uniform) -> Pieces:
    """A mushroom."""
    stem, height, cap = u(0.22, 0.34), u(0.6, 0.95), u(0.75, 1.0)
    return [
        (dome(cap, cap * u(0.62, 0.85), 0.12).moved(z=height - 0.1), "main"),
        (lathe([(0, 0), (stem * 1.25, 0), (stem, 0.3), (stem * 0.9, height), (0, height)], smooth=False), "part"),
    ]


def tree(u: Uniform) -> Pieces:
    """A tree."""
    trunk, crown = u(0.5, 0.75), u(0.5, 0.65)
    tops = [sphere(crown).moved(z=trunk + crown * 0.8)]
    tops += [sphere(crown * 0.72).moved(crown * 0.55 * c, crown * 0.55 * s, trunk + crown * 0.6) for c, s in _thirds()]
    return [(merge(tops), "main"), (frustum(0.2, 0.14, trunk + 0.3), "part")]


def _thirds() -> list[tuple[float, float]]:
    return [(np.cos(a), np.sin(a)) for a in np.deg2rad([0, 120, 240])]


def fir(u: Uniform) -> Pieces:
    """A fir."""
    width = u(0.6, 0.75)
    tiers = [lathe([(0, 0), (width * s, 0), (0, 0.75)]).moved(z=z) for s, z in ((1, 0.35), (0.78, 0.75), (0.55, 1.15))]
    return [(merge(tiers), "main"), (frustum(0.16, 0.16, 0.45), "part")]


def cactus(u: Uniform) -> Pieces:
    """A cactus."""
    radius, height = u(0.24, 0.3), u(1.1, 1.4)
    column = merge([frustum(radius, radius, height), sphere(radius).moved(z=height)]).moved(z=0.45)
    arms = []
    for sign, z in ((1, u(0.85, 1.05)), (-1, u(1.05, 1.25))):
        path = np.array(
            [[0, sign * 0.1, z], [0, sign * 0.42, z], [0, sign * 0.55, z + 0.13], [0, sign * 0.55, z + 0.45]]
        )
        arms += [pipe(path, 0.15), sphere(0.15, 16).moved(y=sign * 0.55, z=z + 0.45)]
    pot = lathe([(0, 0), (0.36, 0), (0.48, 0.5), (0.4, 0.5), (0.38, 0.42), (0, 0.42)])
    return [(merge([column, *arms]), "main"), (pot, "part")]


def apple(u: Uniform) -> Pieces:
    """An apple."""
    squash = u(0.82, 0.95)
    angles = np.linspace(-np.pi / 2, np.pi / 2, 16)
    profile = [(max(np.cos(a), 0) * (1 - 0.12 * np.sin(a) ** 2), squash * np.sin(a)) for a in angles]
    profile[-3:] = [(0.36, squash * 0.86), (0.15, squash * 0.76), (0.0, squash * 0.7)]
    profile[0] = (0.0, -squash)
    leaf = sphere().scaled(0.26, 0.13, 0.05).turned("y", -25).moved(x=0.27, z=squash * 1.12)
    return [
        (lathe(profile, smooth=True), "main"),
        (leaf, "part"),
        (frustum(0.05, 0.06, 0.42).moved(z=squash * 0.68), "brown"),
    ]


def duck(u: Uniform) -> Pieces:
    """A duck."""
    body = sphere().scaled(u(0.72, 0.82), u(0.5, 0.58), u(0.44, 0.5)).moved(z=0.5)
    head_radius = u(0.32, 0.38)
    x, z = 0.5, 1.0 + head_radius * 0.45
    neck = frustum(0.26, 0.2, 0.5).moved(x=x - 0.02, z=0.62)
    tail = lathe([(0, 0), (0.26, 0), (0, 0.5)]).turned("y", -55).moved(x=-0.52, z=0.6)
    wings = pair(sphere().scaled(0.4, 0.12, 0.24).moved(x=-0.08, z=0.58), 0.5)
    beak = sphere().scaled(0.24, 0.17, 0.08).moved(x=x + head_radius + 0.1, z=z - 0.05)
    eyes = pair(sphere(0.065, 12).moved(x=x + head_radius * 0.75, z=z + 0.1), head_radius * 0.62)
    return [
        (merge([body, sphere(head_radius).moved(x=x, z=z), neck, tail, wings]), "main"),
        (beak, "part"),
        (eyes, "black"),
    ]


def fish(u: Uniform) -> Pieces:
    """A fish."""
    length, height = u(0.8, 0.95), u(0.42, 0.55)
    body = sphere().scaled(length, 0.3, height)
    tail = merge(
        [
            prism([(0, -0.08), (0, 0.08), (-0.55, 0.5), (-0.42, 0.0)], 0.1),
            prism([(0, -0.08), (-0.42, 0.0), (-0.55, -0.5)][::-1], 0.1),
        ]
    )
    tail = two_sided(tail).turned("x", 90).moved(x=-length * 0.88, y=0.05)
    fin = prism([(-0.35, 0), (0.3, 0), (-0.2, 0.42)], 0.1).turned("x", 90).moved(y=0.05, z=height * 0.8)
    side = pair(sphere().scaled(0.2, 0.05, 0.12).turned("y", 30).moved(x=0.05, z=-0.08), 0.3)
    eyes = pair(sphere(0.075, 12).moved(x=length * 0.68, z=0.1), 0.18)
    return [(body, "main"), (merge([tail, fin, side]), "part"), (eyes, "black")]


def teddy(u: Uniform) -> Pieces:
    """A teddy."""
    belly, head = u(0.5, 0.58), u(0.4, 0.46)
    z = belly * 1.55 + head * 0.75
    body = merge(
        [
            sphere().scaled(belly * 0.9, belly, belly * 1.08).moved(z=belly),
            sphere(head).moved(z=z),
            pair(sphere(head * 0.36, 18).moved(z=z + head * 0.78), head * 0.75),
            pair(sphere().scaled(0.2, 0.19, 0.34).turned("y", -35).moved(x=0.25, z=belly * 1.3), belly * 0.95),
            pair(sphere().scaled(0.36, 0.2, 0.2).moved(x=belly * 0.85, z=0.2), belly * 0.6),
        ]
    )
    snout = sphere().scaled(0.16, 0.2, 0.15).moved(x=head * 0.9, z=z - head * 0.22)
    patch = sphere().scaled(belly * 0.32, belly * 0.62, belly * 0.68).moved(x=belly * 0.66, z=belly * 1.02)
    face = [sphere(0.07, 12).moved(x=head * 0.9 + 0.15, z=z - head * 0.12)]
    face += [pair(sphere(0.06, 12).moved(x=head * 0.88, z=z + head * 0.25), head * 0.4)]
    return [(body, "main"), (merge([snout, patch]), "part"), (merge(face), "black")]


def snowman(u: Uniform) -> Pieces:
    """A snowman."""
    low, middle, head = u(0.58, 0.68), u(0.42, 0.5), u(0.3, 0.35)
    z1, z2 = low + middle * 0.95, low + middle * 1.6 + head * 0.75
    body = merge([sphere(low), sphere(middle).moved(z=z1), sphere(head).moved(z=z2)])
    brim = frustum(head * 1.25, head * 1.25, 0.07).moved(z=z2 + head * 0.68)
    hat = merge([brim, frustum(head * 0.85, head * 0.8, u(0.4, 0.5)).moved(z=z2 + head * 0.7)])
    nose = lathe([(0, 0), (0.085, 0), (0, 0.34)]).turned("y", 90).moved(x=head * 0.92, z=z2)
    eyes = pair(sphere(0.06, 12).moved(x=head * 0.88, z=z2 + head * 0.35), head * 0.38)
    buttons = merge([sphere(0.07, 12).moved(x=middle * 0.98, z=z1 + d) for d in (-0.12, 0.12)])
    return [(body, "main"), (hat, "part"), (nose, "orange"), (merge([eyes, buttons]), "black")]


def robot(u: Uniform) -> Pieces:
    """A robot."""
    width, height, head = u(0.7, 0.85), u(0.7, 0.9), u(0.42, 0.52)
    legs = 0.42
    top = legs + height
    body = box(0.5, width, height).moved(z=legs)
    arms = pair(box(0.2, 0.2, height * 0.85).moved(z=legs + height * 0.1), width / 2 + 0.12)
    feet = pair(box(0.3, 0.24, legs), width * 0.27)
    skull = merge([box(head, head * 1.2, head).moved(z=top + 0.08), frustum(0.12, 0.12, 0.1).moved(z=top)])
    antenna = merge([frustum(0.035, 0.035, 0.2).moved(z=top + head), sphere(0.08, 12).moved(z=top + head + 0.25)])
    eyes = pair(sphere(0.085, 12).moved(x=head / 2, z=top + 0.12 + head * 0.5), head * 0.3)
    return [(merge([body, arms, feet]), "main"), (skull, "part"), (eyes, "white"), (antenna, "red")]
