"""Food and plants. Coordinates are free; z is up and the front looks along +x."""

import numpy as np

from prior3d.toyworld.solids import Pieces, Solid, Uniform, dome, frustum, lathe, merge, pipe, sphere, torus


def leaf(length: float, rise_deg: float, turn_deg: float) -> Solid:
    """A flat leaf from the origin outwards."""
    blade = sphere(segments=14).scaled(length / 2, length / 6, 0.03).moved(x=length / 2)
    return blade.turned("y", -rise_deg).turned("z", turn_deg)


def around(n: int, piece: Solid) -> Solid:
    """Copies of a piece round the z axis."""
    return merge([piece.turned("z", 360 / n * i) for i in range(n)])


def palm_tree(u: Uniform) -> Pieces:
    """A palm tree."""
    height, lean = u(1.5, 1.9), u(0.1, 0.35)
    path = np.array([[lean * t**2, 0, height * t] for t in np.linspace(0, 1, 6)])
    crown = merge([leaf(u(0.75, 0.9), rise, 45 * i + 20 * (rise < 0)) for i in range(8) for rise in (20, -25)])
    nuts = around(3, sphere(0.11, 12).moved(x=0.13)).moved(lean, 0, height - 0.1)
    return [(crown.moved(lean, 0, height), "main"), (pipe(path, 0.11), "part"), (nuts, "brown")]


def flower(u: Uniform) -> Pieces:
    """A flower that faces forward."""
    petals = int(u(5, 9))
    petal = sphere(segments=16).scaled(0.3, 0.19, 0.06).moved(x=0.42)
    head = merge([around(petals, petal)]).turned("y", u(50, 75)).moved(x=0.05, z=1.4)
    heart = sphere().scaled(0.2, 0.2, 0.12).turned("y", 60).moved(x=0.08, z=1.42)
    stem = merge([frustum(0.05, 0.05, 1.4), leaf(0.6, 40, 60).moved(z=0.35), leaf(0.55, 35, 240).moved(z=0.5)])
    return [(head, "main"), (heart, "part"), (stem, "green")]


def pumpkin(u: Uniform) -> Pieces:
    """A pumpkin."""
    squash = u(0.62, 0.78)
    ribs = merge([sphere(segments=16).scaled(0.34, 0.4, squash).moved(x=0.46).turned("z", 45 * i) for i in range(8)])
    return [
        (merge([ribs, sphere(0.55).scaled(1, 1, squash * 1.5)]), "main"),
        (frustum(0.12, 0.07, 0.42).turned("y", 12).moved(z=squash * 0.85), "part"),
    ]


def pear(u: Uniform) -> Pieces:
    """A pear."""
    belly, top = u(0.55, 0.65), u(0.26, 0.32)
    profile = [
        (0, 0),
        (belly * 0.6, 0.05),
        (belly, 0.45),
        (belly * 0.85, 0.85),
        (top, 1.25),
        (top * 0.7, 1.45),
        (0, 1.5),
    ]
    stalk = pipe(np.array([[0, 0, 1.42], [0.03, 0, 1.6], [0.12, 0, 1.8]]), 0.045)
    return [(lathe(profile, smooth=True), "main"), (merge([leaf(0.45, 25, 0).moved(z=1.6), stalk]), "part")]


def carrot(u: Uniform) -> Pieces:
    """A carrot."""
    length, top = u(1.4, 1.7), u(0.26, 0.34)
    root = lathe([(0, 0), (0.05, 0.05), (top * 0.75, length * 0.6), (top, length * 0.95), (0, length)], smooth=True)
    tuft = merge([leaf(u(0.55, 0.7), 65, 60 * i) for i in range(6)]).moved(z=length - 0.05)
    return [(root, "main"), (tuft, "part")]


def pineapple(u: Uniform) -> Pieces:
    """A pineapple."""
    width, height = u(0.46, 0.54), u(0.7, 0.8)
    body = [sphere().scaled(width, width, height).moved(z=height)]
    for row, z in enumerate(np.linspace(0.25, 1.75, 6) * height):
        ring = width * np.sqrt(max(1 - (z / height - 1) ** 2, 0))
        knob = sphere(0.11, 10).moved(x=ring * 0.97, z=z)
        body.append(around(9, knob).turned("z", 20 * (row % 2)))
    tuft = merge([leaf(0.6, 40 + 12 * (i % 3), 51 * i) for i in range(9)]).moved(z=2 * height - 0.06)
    return [(merge(body), "main"), (tuft, "part")]


def strawberry(u: Uniform) -> Pieces:
    """A strawberry."""
    wide, tall = u(0.56, 0.64), u(1.15, 1.35)
    outline = [(0, 0), (0.3, 0.06), (0.56, 0.26), (0.76, 0.45), (0.93, 0.63), (1, 0.8), (0.8, 0.95), (0, 1)]
    berry = lathe([(wide * r, tall * z) for r, z in outline], smooth=True)
    seeds = [
        sphere(0.045, 8).moved(x=wide * r, z=tall * z).turned("z", 60 * i + 30 * j)
        for j, (r, z) in enumerate(((0.56, 0.26), (0.76, 0.45), (0.93, 0.63)))
        for i in range(6)
    ]
    green = merge([around(6, leaf(0.5, -8, 0)), frustum(0.05, 0.05, 0.22)]).moved(z=tall)
    return [(berry, "main"), (green, "part"), (merge(seeds), "yellow")]


def cupcake(u: Uniform) -> Pieces:
    """A cupcake."""
    radius, height = u(0.5, 0.58), u(0.5, 0.62)
    swirl = [torus(radius * r, 0.2).moved(z=height + z) for r, z in ((0.85, 0.1), (0.55, 0.36), (0.25, 0.58))]
    swirl.append(sphere().scaled(radius * 0.8, radius * 0.8, 0.5).moved(z=height + 0.15))
    case = lathe([(0, 0), (radius * 0.7, 0), (radius, height), (0, height)])
    return [(merge(swirl), "main"), (case, "part"), (sphere(0.15).moved(z=height + 0.95), "red")]


def cake(u: Uniform) -> Pieces:
    """A cake of two tiers with candles."""
    low, high = u(0.75, 0.85), u(0.45, 0.52)
    tiers = [frustum(low, low, 0.5).moved(z=0.08), frustum(high, high, 0.42).moved(z=0.58)]
    rims = [torus(low, 0.07).moved(z=0.58), torus(high, 0.06).moved(z=1.0), frustum(1.0, 1.0, 0.08)]
    candles = around(5, merge([frustum(0.045, 0.045, 0.32), sphere(0.06, 10).moved(z=0.38)]).moved(x=high * 0.6, z=1.0))
    return [(merge(tiers), "main"), (merge(rims), "part"), (candles, "yellow")]


def hamburger(u: Uniform) -> Pieces:
    """A hamburger."""
    radius = u(0.75, 0.85)
    top = dome(radius, u(0.42, 0.52)).moved(z=0.62)
    bottom = lathe([(0, 0), (radius * 0.8, 0), (radius, 0.12), (radius, 0.24), (0, 0.24)])
    patty = frustum(radius * 1.0, radius * 1.0, 0.2).moved(z=0.3)
    wavy = around(10, sphere(segments=10).scaled(0.24, 0.26, 0.07).moved(x=radius * 0.86)).moved(z=0.56)
    return [(merge([top, bottom]), "main"), (wavy, "part"), (patty, "brown")]
