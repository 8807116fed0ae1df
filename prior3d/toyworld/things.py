"""Furniture, vessels, food, plain solids: functions that draw proportions and say which solid takes which colour.

Coordinates are free (objects are centred and scaled afterwards); z is up and the front looks along +x.
"""

import numpy as np

from prior3d.toyworld.solids import Pieces, Uniform, box, dome, four, frustum, lathe, merge, pair, pipe, sphere, torus


def mug(u: Uniform) -> Pieces:
    """A mug."""
    radius, height, wall = u(0.48, 0.62), u(0.9, 1.25), 0.09
    cup = lathe(
        [(0, 0), (radius, 0), (radius, height), (radius - wall, height), (radius - wall * 1.2, 0.12), (0, 0.12)]
    )
    angles = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 14)
    size = height * 0.31
    path = np.stack(
        [np.zeros(14), radius - 0.04 + size * 1.1 * np.cos(angles), height * 0.52 + size * np.sin(angles)], axis=1
    )
    return [(cup, "main"), (pipe(path, 0.085), "part")]


def chair(u: Uniform) -> Pieces:
    """A chair."""
    width, depth, legs, back = u(0.8, 1.05), u(0.8, 1.0), u(0.6, 0.85), u(0.85, 1.15)
    seat = box(depth, width, 0.14).moved(z=legs)
    rest = box(0.13, width, back).moved(x=-depth / 2 + 0.065, z=legs + 0.1)
    leg = four(box(0.14, 0.14, legs), depth / 2 - 0.09, width / 2 - 0.09)
    return [(merge([seat, rest]), "main"), (leg, "part")]


def table(u: Uniform) -> Pieces:
    """A table."""
    width, depth, legs = u(1.3, 1.7), u(0.9, 1.2), u(0.65, 0.95)
    leg = four(box(0.15, 0.15, legs), depth / 2 - 0.12, width / 2 - 0.12)
    return [(box(depth, width, 0.15).moved(z=legs), "main"), (leg, "part")]


def sofa(u: Uniform) -> Pieces:
    """A sofa."""
    width, depth, back = u(1.5, 1.8), u(0.75, 0.9), u(0.75, 0.95)
    frame = [box(depth, width, 0.3).moved(z=0.1), box(0.24, width, back).moved(x=-depth / 2 + 0.12, z=0.1)]
    frame += [pair(box(depth, 0.22, 0.55).moved(z=0.1), width / 2 - 0.11)]
    cushion = pair(box(depth - 0.26, (width - 0.5) / 2, 0.16).moved(x=0.12, z=0.4), (width - 0.46) / 4)
    return [(merge(frame), "main"), (cushion, "part")]


def lamp(u: Uniform) -> Pieces:
    """A lamp."""
    low, high, shade, pole = u(0.55, 0.68), u(0.25, 0.38), u(0.55, 0.7), u(0.7, 1.0)
    hood = lathe([(low, 0), (high, shade), (high - 0.05, shade), (low - 0.05, 0), (low, 0)]).moved(z=pole)
    foot = merge([frustum(0.4, 0.36, 0.12), frustum(0.08, 0.08, pole + shade * 0.7)])
    return [(hood, "main"), (foot, "part")]


def vase(u: Uniform) -> Pieces:
    """A vase."""
    belly, neck = u(0.5, 0.62), u(0.2, 0.28)
    outer = [(0, 0), (0.3, 0), (belly, 0.5), (belly * 0.9, 0.85), (neck, 1.2), (neck, 1.35), (neck + 0.14, 1.5)]
    return [(lathe([*outer, (neck + 0.07, 1.49), (neck - 0.06, 1.25), (0, 1.15)], smooth=True), "main")]


def bottle(u: Uniform) -> Pieces:
    """A bottle."""
    radius, height = u(0.34, 0.42), u(0.85, 1.1)
    body = lathe(
        [(0, 0), (radius, 0), (radius, height), (0.15, height + 0.35), (0.15, height + 0.6), (0, height + 0.6)]
    )
    return [(body, "main"), (frustum(0.19, 0.19, 0.2).moved(z=height + 0.56), "part")]


def umbrella(u: Uniform) -> Pieces:
    """An umbrella."""
    radius, pole = u(0.85, 1.0), u(1.2, 1.45)
    hook = np.array([[0, 0.26 * (1 - np.cos(a)) / 2, 0.12 - 0.13 * np.sin(a)] for a in np.linspace(0, np.pi, 8)])
    handle = merge([frustum(0.05, 0.05, pole).moved(z=0.1), pipe(hook, 0.05)])
    return [(dome(radius, radius * u(0.5, 0.62), 0.3).moved(z=pole - 0.35), "main"), (handle, "part")]


def donut(u: Uniform) -> Pieces:
    """A donut."""
    ring, tube = u(0.62, 0.75), u(0.28, 0.36)
    icing = torus(ring, tube * 1.04).scaled(1, 1, 0.8).moved(z=tube * 0.30)
    return [(icing, "main"), (torus(ring, tube), "part")]


def ice_cream(u: Uniform) -> Pieces:
    """An ice cream."""
    radius, height = u(0.42, 0.52), u(1.0, 1.35)
    scoop = sphere(radius * 1.12).moved(z=height + radius * 0.45)
    return [(scoop, "main"), (lathe([(0, 0), (radius, height), (0, height)]), "part")]


def ball(u: Uniform) -> Pieces:
    """A ball."""
    return [(sphere(1.0, 36), "main")]


def cube(u: Uniform) -> Pieces:
    """A cube."""
    return [(box(u(0.9, 1.1), u(0.9, 1.1), u(0.9, 1.1)), "main")]


def cone(u: Uniform) -> Pieces:
    """A cone."""
    return [(lathe([(0, 0), (u(0.55, 0.7), 0), (0, u(1.3, 1.6))]), "main")]
