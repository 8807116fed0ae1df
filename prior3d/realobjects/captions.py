"""Captions of real objects in the toy world's grammar: a kind, and the colours that its unlit renders show."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from skimage.color import rgb2lab

from prior3d.toyworld.objects import article

PLURAL = frozenset(
    [
        "flowers",
        "shoes",
        "scissors",
        "headphones",
        "slippers",
        "sunglasses",
        "glasses",
        "shorts",
        "trousers",
        "keys",
        "pliers",
        "clothes",
        "shelves",
        "boots",
        "bread",
        "butter",
        "moccasins",
    ]
) | {"french fries"}
NO_COLOUR = frozenset(  # kinds whose colours go without saying, as a snowman's
    [
        "snowman",
        "tree",
        "palm tree",
        "fir tree",
        "snowy fir tree",
        "plant",
        "flowers",
        "man",
        "woman",
        "boy",
        "girl",
        "doll",
        "deer",
        "horse",
        "chicken",
        "cactus",
        "hamburger",
        "steak",
        "bread",
        "hot dog",
        "french fries",
        "roasted chicken",
        "birthday cake",
        "bowl of fruit",
        "bowl of salad",
        "bowl of apples",
        "bonsai tree",
        "christmas tree",
        "bush",
        "pile of logs",
        "rubik's cube",
        "chessboard",
        "soccer ball",
        "basketball",
        "milk carton",
        "fireplace",
        "aquarium",
        "cupcake",
    ]
)
CLUSTERS = 8  # fewer mix red and blue into a purple that is not there
MOST_PIXELS = 4000


def colour_word(colour: Float[np.ndarray, "3"]) -> str:
    """One of the toy world's twelve words for a CIELAB colour: by hue where there is some; dull warm ones are brown."""
    light, a, b = colour.tolist()
    chroma, hue = float(np.hypot(a, b)), float(np.degrees(np.arctan2(b, a)) % 360)
    faint = 16 if light > 82 and 40 < hue < 130 else 10
    if chroma < faint or (light < 14 and chroma < 22):
        return "white" if light > 76 else "black" if light < 27 else "grey"
    hue -= 360 if hue >= 345 else 0
    if hue < 48:
        if light > 48 + 0.9 * max(hue, 0) and chroma < 60:
            return "pink"
        return "brown" if (hue > 33 and chroma < 45) or (hue > 0 and chroma < 22) else "red"
    if hue < 74:
        return "orange" if chroma > 55 and light > 48 else "brown"
    if hue < 108:
        if chroma > 48 and light > 58:
            return "yellow"
        return "green" if hue > 103 and chroma > 18 and light < 60 else "brown"
    if hue < 168:
        green = hue > 118 or chroma > 30 or light < 60
        return "green" if green else "white" if light > 80 else "brown"  # cream
    if hue < 232:
        return "teal"
    if hue < 309:  # pure blue lies at 306
        return "blue"
    return "purple" if hue < 330 or light < 45 else "pink"


def colour_shares(rgba: Float[np.ndarray, "*pixels 4"]) -> list[tuple[str, float]]:
    """Words and their shares of what renders without light show, largest first: k-means in CIELAB, then a word each.

    Args:
        rgba: premultiplied, in [0, 1].
    """
    pixels = rgba.reshape(-1, 4)
    solid = pixels[pixels[:, 3] > 0.9]
    solid = solid if len(solid) >= 20 else pixels[pixels[:, 3] > 0.25]
    if not len(solid):
        return []
    colours = rgb2lab((solid[:, :3] / solid[:, 3:]).clip(0, 1))[:: max(1, len(solid) // MOST_PIXELS)]
    centres = colours[[0]]
    for _ in range(CLUSTERS - 1):  # the farthest points first: the same answer each time
        far = np.linalg.norm(colours[:, None] - centres, axis=-1).min(axis=1).argmax()
        centres = np.concatenate([centres, colours[[far]]])
    for _ in range(12):
        nearest = _nearest(colours, centres)
        means = [colours[nearest == k].mean(axis=0) if (nearest == k).any() else centres[k] for k in range(CLUSTERS)]
        centres = np.array(means)
    nearest, shares = _nearest(colours, centres), dict[str, float]()
    for k, centre in enumerate(centres):
        word = colour_word(centre)
        shares[word] = shares.get(word, 0.0) + float((nearest == k).mean())
    return sorted(shares.items(), key=lambda pair: -pair[1])


def leading(kind: str, shares: list[tuple[str, float]]) -> tuple[str, ...]:
    """The colours that a caption names: one that leads, two that lead together, or none."""
    if kind in NO_COLOUR or not shares:
        return ()
    (first, most), (second, next_most) = (*shares, ("", 0.0))[:2]
    if most >= 0.55 and next_most < 0.28:
        return (first,)
    return (first, second) if second and most + next_most >= 0.7 else ()


def caption(thing: str, colours: tuple[str, ...]) -> str:
    """`a blue car`, `a red and white umbrella`, `a deer`, `white shelves`."""
    text = " ".join([" and ".join(colours), thing]).strip()
    return text if thing in PLURAL else f"{article(text)} {text}"


def _nearest(colours: NDArray[np.floating], centres: NDArray[np.floating]) -> NDArray[np.int64]:
    nearest: NDArray[np.int64] = np.linalg.norm(colours[:, None] - centres, axis=-1).argmin(axis=1)
    return nearest
