"""Shapes that have no name, so that nothing is said of them: turned profiles, blobs, figures with limbs and garments.

What a prior learns of them is form: that outlines have backs, that heads have profiles, that cloth hangs all round.
"""

import numpy as np

from prior3d.toyworld.solids import Solid, Uniform, box, frustum, lathe, merge, pair, pipe, prism, sphere, torus


def nameless(rng: np.random.Generator) -> list[Solid]:
    """The solids of a shape without a name."""
    draw = (turned, blob, figure, assembly)[int(rng.choice(4, p=[0.25, 0.25, 0.35, 0.15]))]
    return draw(rng)


def turned(rng: np.random.Generator) -> list[Solid]:
    """A turned profile, cut into one to three bands, round or with a few corners, perhaps squashed."""
    n = int(rng.integers(4, 9))
    heights = np.sort(rng.uniform(0, 1.8, n))
    radii = rng.uniform(0.12, 0.85, n)
    smooth, segments = bool(rng.random() < 0.6), int(rng.choice([4, 6, 8, 28, 28, 28]))
    cuts = np.unique([0, *rng.integers(1, n - 1, int(rng.integers(0, 3))), n - 1])
    solids = []
    for first, last in zip(cuts[:-1], cuts[1:], strict=True):
        outline = list(zip(radii[first : last + 1].tolist(), heights[first : last + 1].tolist(), strict=True))
        ends = [(0.0, outline[0][1]), *outline, (0.0, outline[-1][1])]
        solids.append(lathe(ends, smooth=smooth and segments == 28, segments=segments))
    squash = float(rng.uniform(0.5, 1.0))
    return [solid.scaled(1, squash, 1) for solid in solids]


def blob(rng: np.random.Generator) -> list[Solid]:
    """Balls of several sizes grown together."""
    centre, solids = np.zeros(3), []
    for _ in range(int(rng.integers(3, 9))):
        x, y, z = rng.uniform(0.2, 0.55, 3).tolist()
        solids.append(sphere(segments=18).scaled(x, y, z).moved(*centre))
        centre = centre + rng.normal(size=3) * 0.35
    half = max(1, len(solids) // 2)
    return [merge(solids[:half]), merge(solids[half:] or solids[:1])]


def figure(rng: np.random.Generator) -> list[Solid]:
    """A standing figure that looks ahead: head with nose and hair, body with a garment, arms, legs."""
    u = _uniform(rng)
    legs, body, wide, head = u(0.2, 0.8), u(0.5, 0.9), u(0.22, 0.45), u(0.2, 0.48)
    top = legs + body
    centre = top + head * 0.85
    outline = [(0, 0), (wide * u(0.8, 2.2), 0), (wide * 0.85, body * 0.55), (wide * u(0.7, 1.1), body * 0.9), (0, body)]
    garment = lathe(outline, smooth=True).scaled(u(0.6, 0.9), 1, 1).moved(z=legs)
    leg = merge([frustum(0.1, 0.12, legs + 0.1), sphere().scaled(0.2, 0.12, 0.09).moved(x=0.08, z=0.06)])
    skull, hair, eyes = _head(u, head, centre)
    solids = [merge([skull, *_arms(u, wide, top)]), garment, hair, pair(leg, wide * 0.5), eyes]
    if u(0, 1) < 0.4:  # a cloak
        cloak = lathe([(0, 0), (wide * 1.6, -body * 0.9), (wide * 1.1, 0)], smooth=True)
        solids.append(cloak.moved(x=-wide * 0.45, z=top))
    if u(0, 1) < 0.35:  # a hat
        solids.append(frustum(head * 1.3, head * u(0.3, 0.8), head * u(0.3, 1.2)).moved(z=centre + head * 0.6))
    return solids


def _head(u: Uniform, head: float, centre: float) -> tuple[Solid, Solid, Solid]:
    """A skull with a nose, hair, and eyes."""
    skull = sphere().scaled(head * u(0.85, 1.0), head * u(0.8, 1.0), head * u(0.95, 1.15)).moved(z=centre)
    nose = sphere(segments=12).scaled(head * u(0.25, 0.6), head * 0.2, head * 0.2)
    hair = sphere().scaled(head * 1.1, head * 1.08, head * u(0.8, 1.4))
    eyes = pair(sphere(head * 0.12, 10).moved(x=head * 0.86, z=centre + head * 0.15), head * 0.36)
    nose = nose.moved(x=head * 0.9, z=centre - head * 0.1)
    return merge([skull, nose]), hair.moved(x=-head * u(0.15, 0.4), z=centre + head * u(-0.1, 0.35)), eyes


def _arms(u: Uniform, wide: float, top: float) -> tuple[Solid, Solid]:
    """Two arms with hands, each with a bend of its own."""
    arms = []
    for side in (1, -1):
        reach, droop = u(0.3, 0.7), u(-0.6, 0.5)
        hand = np.array([u(-0.1, 0.45), side * (wide + reach * 0.8), top - 0.1 + droop])
        elbow = [0.04, side * (wide + reach * 0.4), top - 0.12 + droop * 0.35]
        path = np.array([[0, side * wide * 0.6, top - 0.1], elbow, hand])
        arms.append(merge([pipe(path, u(0.07, 0.12)), sphere(0.13, 12).moved(*hand)]))
    return arms[0], arms[1]


def _uniform(rng: np.random.Generator) -> Uniform:
    return lambda low, high: float(rng.uniform(low, high))


def assembly(rng: np.random.Generator) -> list[Solid]:
    """Boxes, prisms, cylinders, rings and rods put together."""
    solids = []
    for _ in range(int(rng.integers(3, 8))):
        x, y, z = rng.uniform(0.15, 0.9, 3).tolist()
        corners = np.linspace(0, 2 * np.pi, int(rng.integers(3, 8)), endpoint=False)
        piece = (
            lambda x=x, y=y, z=z: box(x, y, z),
            lambda x=x, z=z: frustum(x / 2, x * 0.4, z),
            lambda x=x, y=y: torus(0.25 + x / 3, 0.05 + y / 10),
            lambda x=x, z=z, c=corners: prism([(x / 2 * np.cos(a), x / 2 * np.sin(a)) for a in c], z),
        )[int(rng.integers(4))]()
        turned_piece = piece.turned(
            str(rng.choice(["x", "y", "z"])), float(rng.choice([0, 0, 90, rng.uniform(0, 180)]))
        )
        a, b, c = (rng.normal(size=3) * 0.4).tolist()
        solids.append(turned_piece.moved(a, b, c))
    return solids
