"""Animals, composed of bodies, legs, heads, ears and tails.

Coordinates are free (objects are centred and scaled afterwards); z is up and the front looks along +x.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from prior3d.toyworld.solids import Pieces, Solid, Uniform, dome, four, frustum, lathe, merge, pair, pipe, sphere, torus


@dataclass(frozen=True)
class Beast:
    """Proportions of a four-legged animal: lengths in units of its body's half length, angles in degrees."""

    width: float = 0.5
    height: float = 0.5
    legs: float = 0.55
    leg_radius: float = 0.14
    neck: float = 0.2
    neck_tilt: float = 35.0
    head: float = 0.36
    snout: float = 0.3
    ears: str = "pointed"
    ear: float = 0.24
    tail: float = 0.5
    tail_rise: float = 0.35


def beast(u: Uniform, shape: Beast) -> tuple[list[Solid], list[Solid], Float[np.ndarray, "3"]]:
    """Body with legs, neck, head and tail; ears; and where the head's centre is."""
    stretch, thick = u(0.92, 1.1), u(0.9, 1.1)
    floor = shape.legs * u(0.9, 1.1) + shape.height * 0.6
    body = sphere().scaled(stretch, shape.width * thick, shape.height * thick).moved(z=floor)
    legs = four(frustum(shape.leg_radius * 0.9, shape.leg_radius, floor), 0.6 * stretch, shape.width * 0.55)
    tilt = np.deg2rad(shape.neck_tilt)
    foot = np.array([0.68 * stretch, 0.0, floor + shape.height * 0.35])
    head = foot + (shape.neck + shape.head * 0.6) * np.array([np.cos(tilt), 0.0, np.sin(tilt)])
    throat = frustum(shape.head * 0.72, shape.head * 0.5, float(np.linalg.norm(head - foot)))
    throat = throat.turned("y", 90 - shape.neck_tilt).moved(*foot)
    skull = sphere(shape.head).moved(*head)
    nose = sphere().scaled(shape.snout, shape.head * 0.55, shape.head * 0.45)
    nose = nose.moved(head[0] + shape.head * 0.75, 0, head[2] - shape.head * 0.25)
    path = np.array([[0, 0, 0], [-0.5, 0, 0.3 * shape.tail_rise], [-1, 0, shape.tail_rise * 1.6]]) * shape.tail
    tail = pipe(path + np.array([-0.92 * stretch, 0, floor + shape.height * 0.3]), 0.07)
    return [body, legs, throat, skull, nose, tail], _ears(shape, head), head


def _ears(shape: Beast, head: np.ndarray) -> list[Solid]:
    x, z, size = head[0], head[2], shape.ear
    if shape.ears == "pointed":
        one = lathe([(0, 0), (size * 0.5, 0), (0, size * 1.3)]).moved(x=x - 0.05, z=z + shape.head * 0.75)
        return [pair(one, shape.head * 0.55)]
    if shape.ears == "long":
        one = sphere().scaled(0.08, 0.12, size * 1.7).moved(x=x - 0.05, z=z + shape.head * 0.8 + size * 1.2)
        return [pair(one, shape.head * 0.4)]
    if shape.ears == "flaps":
        return [pair(sphere().scaled(0.08, size, size * 1.3).moved(x=x - 0.05, z=z), shape.head + size * 0.6)]
    drooping = sphere().scaled(0.14, 0.07, size).moved(x=x, z=z - size * 0.1)
    return [pair(drooping, shape.head * 0.98)]


def _eyes(shape: Beast, head: np.ndarray) -> Solid:
    one = sphere(0.06, 12).moved(x=head[0] + shape.head * 0.82, z=head[2] + shape.head * 0.32)
    return pair(one, shape.head * 0.45)


def _animal(u: Uniform, shape: Beast, *more: tuple[Solid, str]) -> Pieces:
    main, ears, head = beast(u, shape)
    return [(merge(main), "main"), (merge(ears), "part"), (_eyes(shape, head), "black"), *more]


def cat(u: Uniform) -> Pieces:
    """A cat."""
    return _animal(u, Beast(width=0.4, height=0.4, head=0.4, snout=0.16, ear=0.34, tail=0.9, tail_rise=0.9))


def dog(u: Uniform) -> Pieces:
    """A dog."""
    return _animal(u, Beast(width=0.42, height=0.42, legs=0.65, snout=0.38, ears="drooping", ear=0.34, tail=0.55))


def pig(u: Uniform) -> Pieces:
    """A pig."""
    shape = Beast(width=0.68, height=0.62, legs=0.3, neck=0.05, neck_tilt=15, head=0.42, snout=0.2, tail=0.25)
    main, ears, head = beast(u, shape)
    disc = frustum(0.2, 0.2, 0.16).turned("y", 90).moved(head[0] + 0.42, 0, head[2] - 0.08)
    return [(merge([*main]), "main"), (merge([*ears, disc]), "part"), (_eyes(shape, head), "black")]


def rabbit(u: Uniform) -> Pieces:
    """A rabbit."""
    shape = Beast(0.52, 0.56, 0.15, 0.17, 0.15, 50, 0.4, 0.2, "long", 0.42, 0.05, 0.2)
    main, ears, head = beast(u, shape)
    return [
        (merge([*main, sphere(0.2).moved(x=-1.0, z=0.55)]), "main"),
        (merge(ears), "part"),
        (_eyes(shape, head), "black"),
    ]


def horse(u: Uniform) -> Pieces:
    """A horse."""
    shape = Beast(0.4, 0.42, 0.95, 0.12, 0.65, 52, 0.27, 0.42, "pointed", 0.2, 0.75, -0.6)
    main, ears, head = beast(u, shape)
    mane = sphere().scaled(0.18, 0.1, 0.55).turned("y", 35).moved(head[0] - 0.42, 0, head[2] - 0.2)
    return [(merge(main), "main"), (merge([*ears, mane]), "part"), (_eyes(shape, head), "black")]


def elephant(u: Uniform) -> Pieces:
    """An elephant."""
    shape = Beast(0.68, 0.68, 0.7, 0.22, 0.1, 25, 0.46, 0.2, "flaps", 0.4, 0.45, -0.3)
    main, ears, head = beast(u, shape)
    bend = np.array([[0.3, 0, -0.1], [0.62, 0, -0.35], [0.68, 0, -0.75], [0.62, 0, -1.05], [0.78, 0, -1.25]])
    tusks = pair(lathe([(0, 0), (0.06, 0), (0, 0.5)]).turned("y", 100).moved(head[0] + 0.25, 0, head[2] - 0.3), 0.22)
    return [
        (merge([*main, pipe(bend + head, 0.13)]), "main"),
        (merge(ears), "part"),
        (tusks, "white"),
        (_eyes(shape, head), "black"),
    ]


def giraffe(u: Uniform) -> Pieces:
    """A giraffe."""
    shape = Beast(0.4, 0.42, 1.2, 0.11, 1.6, 68, 0.22, 0.34, "pointed", 0.16, 0.6, -0.6)
    main, ears, head = beast(u, shape)
    horns = pair(
        merge([frustum(0.03, 0.03, 0.24), sphere(0.06, 12).moved(z=0.25)]).moved(head[0], 0, head[2] + 0.2), 0.1
    )
    return [(merge(main), "main"), (merge([*ears, horns]), "part"), (_eyes(shape, head), "black")]


def sheep(u: Uniform) -> Pieces:
    """A sheep."""
    floor = u(0.7, 0.85)
    wool = [
        sphere(0.5).moved(0.42 * np.cos(a), 0.26 * np.sin(a), floor + 0.12 * np.sin(3 * a))
        for a in np.arange(0, 6, 0.9)
    ]
    head = merge(
        [
            sphere().scaled(0.32, 0.22, 0.24).moved(x=0.98, z=floor + 0.28),
            pair(sphere().scaled(0.1, 0.2, 0.06).moved(x=0.85, z=floor + 0.38), 0.28),
        ]
    )
    return [(merge(wool), "main"), (merge([head, four(frustum(0.09, 0.1, floor), 0.4, 0.26)]), "part")]


def penguin(u: Uniform) -> Pieces:
    """A penguin."""
    height = u(0.95, 1.15)
    body = sphere().scaled(0.55, 0.6, height).moved(z=height)
    belly = sphere().scaled(0.46, 0.46, height * 0.8).moved(x=0.14, z=height * 0.95)
    wings = pair(sphere().scaled(0.24, 0.09, 0.6).moved(z=height), 0.62)
    beak = lathe([(0, 0), (0.13, 0), (0, 0.34)]).turned("y", 90).moved(x=0.36, z=height * 1.68)
    feet = pair(sphere().scaled(0.3, 0.18, 0.08).moved(x=0.22, z=0.06), 0.25)
    eyes = pair(sphere(0.06, 12).moved(x=0.36, z=height * 1.78), 0.17)
    return [(merge([body, wings]), "main"), (merge([beak, feet]), "part"), (belly, "white"), (eyes, "white")]


def owl(u: Uniform) -> Pieces:
    """An owl."""
    height = u(0.75, 0.9)
    body = sphere().scaled(0.55, 0.6, height).moved(z=height)
    tufts = pair(lathe([(0, 0), (0.16, 0), (0, 0.36)]).moved(z=height * 1.78), 0.34)
    wings = pair(sphere().scaled(0.36, 0.12, 0.55).moved(x=-0.05, z=height * 0.95), 0.58)
    discs = pair(frustum(0.25, 0.25, 0.1).turned("y", 90).moved(x=0.42, z=height * 1.38), 0.24)
    pupils = pair(sphere(0.1, 12).moved(x=0.52, z=height * 1.38), 0.24)
    beak = lathe([(0, 0), (0.1, 0), (0, 0.26)]).turned("y", 120).moved(x=0.5, z=height * 1.12)
    return [(merge([body, tufts]), "main"), (wings, "part"), (discs, "white"), (pupils, "black"), (beak, "orange")]


def turtle(u: Uniform) -> Pieces:
    """A turtle."""
    shell = dome(0.85, u(0.5, 0.65)).moved(z=0.22)
    limbs = [four(sphere().scaled(0.26, 0.18, 0.14), 0.6, 0.62).moved(z=0.16), sphere(0.26).moved(x=1.02, z=0.42)]
    eyes = pair(sphere(0.05, 12).moved(x=1.22, z=0.5), 0.13)
    tail = lathe([(0, 0), (0.09, 0), (0, 0.3)]).turned("y", -90).moved(x=-0.8, z=0.24)
    return [(shell, "main"), (merge([*limbs, tail]), "part"), (eyes, "black")]


def snail(u: Uniform) -> Pieces:
    """A snail."""
    rings = [torus(0.42 - 0.14 * i, 0.24 - 0.05 * i).turned("x", 90).moved(x=-0.15, z=0.72) for i in range(2)]
    shell = merge([*rings, pair(sphere().scaled(0.3, 0.14, 0.3).moved(x=-0.15, z=0.72), 0.1)])
    foot = merge([sphere().scaled(u(1.0, 1.15), 0.26, 0.18).moved(z=0.14), sphere(0.26).moved(x=0.95, z=0.35)])
    horns = pair(merge([frustum(0.035, 0.03, 0.4), sphere(0.07, 12).moved(z=0.42)]).moved(x=1.0, z=0.5), 0.13)
    return [(shell, "main"), (merge([foot, horns]), "part")]


def bee(u: Uniform) -> Pieces:
    """A bee."""
    length = u(0.8, 0.95)
    bands = [
        (torus(r, 0.08).turned("y", 90).moved(x=x * length, z=0.6), "black") for x, r in ((-0.45, 0.36), (0, 0.44))
    ]
    body = sphere().scaled(length, 0.48, 0.48).moved(z=0.6)
    wings = pair(sphere().scaled(0.34, 0.5, 0.05).turned("x", 25).moved(x=-0.05, z=1.15), 0.4)
    head = sphere(0.32).moved(x=length + 0.1, z=0.66)
    feelers = pair(pipe(np.array([[0, 0, 0], [0.15, 0, 0.2], [0.32, 0, 0.3]]), 0.03).moved(length + 0.2, 0, 0.9), 0.12)
    return [(body, "main"), (wings, "part"), (merge([head, feelers]), "black"), *bands]
