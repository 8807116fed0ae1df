"""The categories: each builds its solids from random proportions and says which solid takes which colour.

Coordinates here are free (objects are centred and scaled afterwards); z is up and the front looks along +x.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prior3d.toyworld.solids import Solid, box, dome, flat_shaded, frustum, lathe, merge, pipe, prism, sphere, torus

Pieces = list[tuple[Solid, str]]  # a solid and its role: "main", "part", or the name of a fixed colour
Uniform = Callable[[float, float], float]


@dataclass(frozen=True)
class Category:
    """One kind of object.

    Attributes:
        noun: its name in captions.
        build: makes the pieces, given a function that draws a uniform number.
        part: caption name of the second coloured part.
        part_colour: that part's colour when the caption does not say one; None: as the main colour.
        patterned: whether dots and stripes suit the main part.
        main_colour: set where the caption names no main colour (a snowman is white).
        front: whether its views from different azimuths differ (has a front to be told from its back).
    """

    noun: str
    build: Callable[[Uniform], Pieces]
    part: str
    part_colour: str | None = None
    patterned: bool = False
    main_colour: str | None = None
    front: bool = False


def _four(solid: Solid, x: float, y: float) -> Solid:
    return merge([solid.moved(i * x, j * y) for i in (-1, 1) for j in (-1, 1)])


def _pair(solid: Solid, y: float) -> Solid:
    return merge([solid.moved(y=y), solid.moved(y=-y)])


def _mushroom(u: Uniform) -> Pieces:
    stem, height, cap = u(0.22, 0.34), u(0.6, 0.95), u(0.75, 1.0)
    return [
        (dome(cap, cap * u(0.62, 0.85), 0.12).moved(z=height - 0.1), "main"),
        (lathe([(0, 0), (stem * 1.25, 0), (stem, 0.3), (stem * 0.9, height), (0, height)], smooth=False), "part"),
    ]


def _mug(u: Uniform) -> Pieces:
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


def _chair(u: Uniform) -> Pieces:
    width, depth, legs, back = u(0.8, 1.05), u(0.8, 1.0), u(0.6, 0.85), u(0.85, 1.15)
    seat = box(depth, width, 0.14).moved(z=legs)
    rest = box(0.13, width, back).moved(x=-depth / 2 + 0.065, z=legs + 0.1)
    leg = _four(box(0.14, 0.14, legs), depth / 2 - 0.09, width / 2 - 0.09)
    return [(merge([seat, rest]), "main"), (leg, "part")]


def _table(u: Uniform) -> Pieces:
    width, depth, legs = u(1.3, 1.7), u(0.9, 1.2), u(0.65, 0.95)
    leg = _four(box(0.15, 0.15, legs), depth / 2 - 0.12, width / 2 - 0.12)
    return [(box(depth, width, 0.15).moved(z=legs), "main"), (leg, "part")]


def _donut(u: Uniform) -> Pieces:
    ring, tube = u(0.62, 0.75), u(0.28, 0.36)
    icing = torus(ring, tube * 1.04).scaled(1, 1, 0.8).moved(z=tube * 0.30)
    return [(icing, "main"), (torus(ring, tube), "part")]


def _ice_cream(u: Uniform) -> Pieces:
    radius, height = u(0.42, 0.52), u(1.0, 1.35)
    scoop = sphere(radius * 1.12).moved(z=height + radius * 0.45)
    return [(scoop, "main"), (lathe([(0, 0), (radius, height), (0, height)]), "part")]


def _snowman(u: Uniform) -> Pieces:
    low, middle, head = u(0.58, 0.68), u(0.42, 0.5), u(0.3, 0.35)
    z1, z2 = low + middle * 0.95, low + middle * 1.6 + head * 0.75
    body = merge([sphere(low), sphere(middle).moved(z=z1), sphere(head).moved(z=z2)])
    brim = frustum(head * 1.25, head * 1.25, 0.07).moved(z=z2 + head * 0.68)
    hat = merge([brim, frustum(head * 0.85, head * 0.8, u(0.4, 0.5)).moved(z=z2 + head * 0.7)])
    nose = lathe([(0, 0), (0.085, 0), (0, 0.34)]).turned("y", 90).moved(x=head * 0.92, z=z2)
    eyes = _pair(sphere(0.06, 12).moved(x=head * 0.88, z=z2 + head * 0.35), head * 0.38)
    buttons = merge([sphere(0.07, 12).moved(x=middle * 0.98, z=z1 + d) for d in (-0.12, 0.12)])
    return [(body, "main"), (hat, "part"), (nose, "orange"), (merge([eyes, buttons]), "black")]


def _car(u: Uniform) -> Pieces:
    length, width, height = u(1.6, 1.9), u(0.75, 0.9), u(0.34, 0.44)
    cabin_length, shift = length * u(0.42, 0.52), -length * 0.08
    side = [(-cabin_length / 2, 0), (cabin_length / 2, 0), (cabin_length * 0.26, 0.36), (-cabin_length * 0.36, 0.36)]
    cabin = prism(side, width * 0.86).turned("x", 90).moved(x=shift, y=width * 0.43, z=0.2 + height)
    glass_outline = [(x * 0.86, 0.05 + z * 0.78) for x, z in side]
    glass = prism(glass_outline, width * 0.9).turned("x", 90).moved(x=shift, y=width * 0.45, z=0.2 + height)
    windscreen = prism([(x * 1.03, 0.05 + z * 0.8) for x, z in side], width * 0.7)
    windscreen = windscreen.turned("x", 90).moved(x=shift, y=width * 0.35, z=0.2 + height)
    wheel = frustum(0.24, 0.24, 0.16).turned("x", 90).moved(y=0.08, z=0.22)
    lamps = _pair(sphere(0.09, 12).moved(x=length / 2 - 0.02, z=0.24 + height * 0.6), width * 0.32)
    return [
        (merge([box(length, width, height).moved(z=0.2), cabin]), "main"),
        (_four(wheel, length * 0.3, width / 2), "part"),
        (merge([glass, windscreen]), "grey"),
        (lamps, "yellow"),
    ]


def _house(u: Uniform) -> Pieces:
    depth, width, height, top = u(1.0, 1.25), u(1.1, 1.35), u(0.7, 0.9), u(0.45, 0.65)
    gable = [(-width / 2 - 0.1, 0), (width / 2 + 0.1, 0), (0, top)]
    roof = prism(gable, depth + 0.2).turned("x", 90).turned("z", 90).moved(x=-depth / 2 - 0.1, z=height)
    front = depth / 2 + 0.005
    door = box(0.05, 0.26, 0.45).moved(x=front)
    windows = _pair(box(0.05, 0.24, 0.24).moved(x=front, z=height * 0.48), width * 0.31)
    chimney = box(0.18, 0.18, 0.4).moved(x=-depth * 0.2, y=width * 0.27, z=height + top * 0.35)
    return [
        (box(depth, width, height), "main"),
        (roof.moved(x=-(roof.vertices[:, 0].max() + roof.vertices[:, 0].min()) / 2), "part"),
        (merge([door, chimney]), "brown"),
        (windows, "white"),
    ]


def _tree(u: Uniform) -> Pieces:
    trunk, crown = u(0.5, 0.75), u(0.5, 0.65)
    tops = [sphere(crown).moved(z=trunk + crown * 0.8)]
    tops += [sphere(crown * 0.72).moved(crown * 0.55 * c, crown * 0.55 * s, trunk + crown * 0.6) for c, s in _thirds()]
    return [(merge(tops), "main"), (frustum(0.2, 0.14, trunk + 0.3), "part")]


def _fir(u: Uniform) -> Pieces:
    width = u(0.6, 0.75)
    tiers = [lathe([(0, 0), (width * s, 0), (0, 0.75)]).moved(z=z) for s, z in ((1, 0.35), (0.78, 0.75), (0.55, 1.15))]
    return [(merge(tiers), "main"), (frustum(0.16, 0.16, 0.45), "part")]


def _thirds() -> list[tuple[float, float]]:
    return [(np.cos(a), np.sin(a)) for a in np.deg2rad([0, 120, 240])]


def _rocket(u: Uniform) -> Pieces:
    radius, height, nose = u(0.33, 0.42), u(1.0, 1.35), u(0.5, 0.7)
    body = lathe([(0, 0.15), (radius * 0.8, 0.15), (radius, 0.5), (radius, 0.15 + height), (0, 0.15 + height)])
    tip = lathe([(0, 0), (radius, 0), (radius * 0.6, nose * 0.55), (0, nose)]).moved(z=0.15 + height)
    blade = prism([(0, 0), (0.62, -0.25), (0.62, 0.2), (0, 0.6)], 0.09).turned("x", 90).moved(radius * 0.7, 0.045, 0.22)
    fins = merge([blade.turned("z", angle) for angle in (0, 90, 180, 270)])
    window = sphere(0.16, 16).moved(x=radius * 0.9, z=height * 0.82)
    return [(body, "main"), (merge([tip, fins]), "part"), (window, "teal")]


def _lamp(u: Uniform) -> Pieces:
    low, high, shade, pole = u(0.55, 0.68), u(0.25, 0.38), u(0.55, 0.7), u(0.7, 1.0)
    hood = lathe([(low, 0), (high, shade), (high - 0.05, shade), (low - 0.05, 0), (low, 0)]).moved(z=pole)
    foot = merge([frustum(0.4, 0.36, 0.12), frustum(0.08, 0.08, pole + shade * 0.7)])
    return [(hood, "main"), (foot, "part")]


def _duck(u: Uniform) -> Pieces:
    body = sphere().scaled(u(0.72, 0.82), u(0.5, 0.58), u(0.44, 0.5)).moved(z=0.5)
    head_radius = u(0.32, 0.38)
    x, z = 0.5, 1.0 + head_radius * 0.45
    neck = frustum(0.26, 0.2, 0.5).moved(x=x - 0.02, z=0.62)
    tail = lathe([(0, 0), (0.26, 0), (0, 0.5)]).turned("y", -55).moved(x=-0.52, z=0.6)
    wings = _pair(sphere().scaled(0.4, 0.12, 0.24).moved(x=-0.08, z=0.58), 0.5)
    beak = sphere().scaled(0.24, 0.17, 0.08).moved(x=x + head_radius + 0.1, z=z - 0.05)
    eyes = _pair(sphere(0.065, 12).moved(x=x + head_radius * 0.75, z=z + 0.1), head_radius * 0.62)
    return [
        (merge([body, sphere(head_radius).moved(x=x, z=z), neck, tail, wings]), "main"),
        (beak, "part"),
        (eyes, "black"),
    ]


def _fish(u: Uniform) -> Pieces:
    length, height = u(0.8, 0.95), u(0.42, 0.55)
    body = sphere().scaled(length, 0.3, height)
    tail = merge(
        [
            prism([(0, -0.08), (0, 0.08), (-0.55, 0.5), (-0.42, 0.0)], 0.1),
            prism([(0, -0.08), (-0.42, 0.0), (-0.55, -0.5)][::-1], 0.1),
        ]
    )
    tail = _two_sided(tail).turned("x", 90).moved(x=-length * 0.88, y=0.05)
    fin = prism([(-0.35, 0), (0.3, 0), (-0.2, 0.42)], 0.1).turned("x", 90).moved(y=0.05, z=height * 0.8)
    side = _pair(sphere().scaled(0.2, 0.05, 0.12).turned("y", 30).moved(x=0.05, z=-0.08), 0.3)
    eyes = _pair(sphere(0.075, 12).moved(x=length * 0.68, z=0.1), 0.18)
    return [(body, "main"), (merge([tail, fin, side]), "part"), (eyes, "black")]


def _two_sided(solid: Solid) -> Solid:
    return merge([solid, Solid(solid.vertices, solid.faces[:, ::-1], -solid.normals)])


def _robot(u: Uniform) -> Pieces:
    width, height, head = u(0.7, 0.85), u(0.7, 0.9), u(0.42, 0.52)
    legs = 0.42
    top = legs + height
    body = box(0.5, width, height).moved(z=legs)
    arms = _pair(box(0.2, 0.2, height * 0.85).moved(z=legs + height * 0.1), width / 2 + 0.12)
    feet = _pair(box(0.3, 0.24, legs), width * 0.27)
    skull = merge([box(head, head * 1.2, head).moved(z=top + 0.08), frustum(0.12, 0.12, 0.1).moved(z=top)])
    antenna = merge([frustum(0.035, 0.035, 0.2).moved(z=top + head), sphere(0.08, 12).moved(z=top + head + 0.25)])
    eyes = _pair(sphere(0.085, 12).moved(x=head / 2, z=top + 0.12 + head * 0.5), head * 0.3)
    return [(merge([body, arms, feet]), "main"), (skull, "part"), (eyes, "white"), (antenna, "red")]


def _apple(u: Uniform) -> Pieces:
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


def _teddy(u: Uniform) -> Pieces:
    belly, head = u(0.5, 0.58), u(0.4, 0.46)
    z = belly * 1.55 + head * 0.75
    body = merge(
        [
            sphere().scaled(belly * 0.9, belly, belly * 1.08).moved(z=belly),
            sphere(head).moved(z=z),
            _pair(sphere(head * 0.36, 18).moved(z=z + head * 0.78), head * 0.75),
            _pair(sphere().scaled(0.2, 0.19, 0.34).turned("y", -35).moved(x=0.25, z=belly * 1.3), belly * 0.95),
            _pair(sphere().scaled(0.36, 0.2, 0.2).moved(x=belly * 0.85, z=0.2), belly * 0.6),
        ]
    )
    snout = sphere().scaled(0.16, 0.2, 0.15).moved(x=head * 0.9, z=z - head * 0.22)
    patch = sphere().scaled(belly * 0.32, belly * 0.62, belly * 0.68).moved(x=belly * 0.66, z=belly * 1.02)
    face = [sphere(0.07, 12).moved(x=head * 0.9 + 0.15, z=z - head * 0.12)]
    face += [_pair(sphere(0.06, 12).moved(x=head * 0.88, z=z + head * 0.25), head * 0.4)]
    return [(body, "main"), (merge([snout, patch]), "part"), (merge(face), "black")]


def _cactus(u: Uniform) -> Pieces:
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


def _ball(u: Uniform) -> Pieces:
    return [(sphere(1.0, 36), "main")]


def _cube(u: Uniform) -> Pieces:
    return [(box(u(0.9, 1.1), u(0.9, 1.1), u(0.9, 1.1)), "main")]


def _cone(u: Uniform) -> Pieces:
    return [(lathe([(0, 0), (u(0.55, 0.7), 0), (0, u(1.3, 1.6))]), "main")]


def _vase(u: Uniform) -> Pieces:
    belly, neck = u(0.5, 0.62), u(0.2, 0.28)
    outer = [(0, 0), (0.3, 0), (belly, 0.5), (belly * 0.9, 0.85), (neck, 1.2), (neck, 1.35), (neck + 0.14, 1.5)]
    return [(lathe([*outer, (neck + 0.07, 1.49), (neck - 0.06, 1.25), (0, 1.15)], smooth=True), "main")]


def _boat(u: Uniform) -> Pieces:
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
    sail = _two_sided(prism([(0.06, 0.5), (0.85, 0.55), (0.06, mast)], 0.04)).turned("x", 90).moved(x=-0.06, y=0.02)
    back = _two_sided(prism([(-0.06, 0.5), (-0.06, mast * 0.92), (-0.7, 0.5)], 0.04)).turned("x", 90).moved(y=0.02)
    return [(hull, "main"), (merge([sail, back]), "part"), (frustum(0.045, 0.045, mast + 0.1), "brown")]


def _bottle(u: Uniform) -> Pieces:
    radius, height = u(0.34, 0.42), u(0.85, 1.1)
    body = lathe(
        [(0, 0), (radius, 0), (radius, height), (0.15, height + 0.35), (0.15, height + 0.6), (0, height + 0.6)]
    )
    return [(body, "main"), (frustum(0.19, 0.19, 0.2).moved(z=height + 0.56), "part")]


def _umbrella(u: Uniform) -> Pieces:
    radius, pole = u(0.85, 1.0), u(1.2, 1.45)
    hook = np.array([[0, 0.26 * (1 - np.cos(a)) / 2, 0.12 - 0.13 * np.sin(a)] for a in np.linspace(0, np.pi, 8)])
    handle = merge([frustum(0.05, 0.05, pole).moved(z=0.1), pipe(hook, 0.05)])
    return [(dome(radius, radius * u(0.5, 0.62), 0.3).moved(z=pole - 0.35), "main"), (handle, "part")]


def _plane(u: Uniform) -> Pieces:
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


def _tower(u: Uniform) -> Pieces:
    radius, height, roof = u(0.42, 0.5), u(1.0, 1.3), u(0.6, 0.8)
    walls = merge([frustum(radius * 1.1, radius, height), frustum(radius * 1.15, radius * 1.15, 0.16).moved(z=height)])
    spire = lathe([(0, 0), (radius * 1.35, 0), (0, roof)]).moved(z=height + 0.14)
    door = box(0.1, 0.26, 0.42).moved(x=radius * 1.06)
    window = box(0.1, 0.16, 0.24).moved(x=radius * 1.0, z=height * 0.65)
    return [(walls, "main"), (spire, "part"), (door, "brown"), (window, "black")]


def _sofa(u: Uniform) -> Pieces:
    width, depth, back = u(1.5, 1.8), u(0.75, 0.9), u(0.75, 0.95)
    frame = [box(depth, width, 0.3).moved(z=0.1), box(0.24, width, back).moved(x=-depth / 2 + 0.12, z=0.1)]
    frame += [_pair(box(depth, 0.22, 0.55).moved(z=0.1), width / 2 - 0.11)]
    cushion = _pair(box(depth - 0.26, (width - 0.5) / 2, 0.16).moved(x=0.12, z=0.4), (width - 0.46) / 4)
    return [(merge(frame), "main"), (cushion, "part")]


CATEGORIES: tuple[Category, ...] = (
    Category("mushroom", _mushroom, "stem", "white", patterned=True),
    Category("mug", _mug, "handle", None, patterned=True, front=True),
    Category("chair", _chair, "legs", None, front=True),
    Category("table", _table, "legs", None),
    Category("donut", _donut, "dough", "brown", patterned=True),
    Category("ice cream", _ice_cream, "cone", "brown"),
    Category("snowman", _snowman, "hat", "black", main_colour="white", front=True),
    Category("car", _car, "wheels", "black", front=True),
    Category("house", _house, "roof", "red", front=True),
    Category("tree", _tree, "trunk", "brown"),
    Category("fir tree", _fir, "trunk", "brown"),
    Category("rocket", _rocket, "fins", "red", patterned=True),
    Category("lamp", _lamp, "base", "black", patterned=True),
    Category("duck", _duck, "beak", "orange", front=True),
    Category("fish", _fish, "fins", None, front=True),
    Category("robot", _robot, "head", None, front=True),
    Category("apple", _apple, "leaf", "green"),
    Category("teddy bear", _teddy, "belly", "white", front=True),
    Category("cactus", _cactus, "pot", "brown"),
    Category("ball", _ball, "", None, patterned=True),
    Category("cube", _cube, "", None, patterned=True),
    Category("cone", _cone, "", None, patterned=True),
    Category("vase", _vase, "", None, patterned=True),
    Category("boat", _boat, "sail", "white", front=True),
    Category("bottle", _bottle, "cap", "white", patterned=True),
    Category("umbrella", _umbrella, "handle", "black", patterned=True),
    Category("plane", _plane, "wings", None, front=True),
    Category("tower", _tower, "roof", "red", front=True),
    Category("sofa", _sofa, "cushions", None, front=True),
)
PLURAL_PARTS = frozenset({"legs", "wheels", "fins", "wings", "cushions"})
