"""An image of a thing without what only its front has: eyes, buttons, a muzzle, soles."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from skimage.morphology import reconstruction

from prior3d.reconstruction.outline import nearest_inside

RIM = 3.0  # pixels: what comes so near to the outline touches it
GRAIN_WINDOW, COMMON = 24, 4.0  # grain is compared with this multiple of its median in a window of a 12th of the side
FEATURE = 2.0  # times `grain`: a spot of more contrast is a feature
EDGE, SURROUND = 42, 51  # of the image's side, one part in so many: a feature's soft edge, and what lies round it
PLAIN = 0.07  # median distance of colours, without their lightness, up to which a feature's surround is plain
FILLING = (
    16.0,
    8.0,
    4.0,
    2.0,
    1.0,
    1.0,
    1.0,
    1.0,
)  # pixels of 256: blurs along rows that fill a feature, eight of each
FILLED_ROWS = 0.25  # blur across rows, relative to that along them: layers stay apart


def spread(
    image: Float[np.ndarray, "channels h w"], known: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "channels h w"]:
    """Pixels that are not known take the nearest known one's values."""
    rows, columns = nearest_inside(known)
    found: Float[np.ndarray, "channels h w"] = image[:, rows, columns]
    return found


def without_features(
    image: Float[np.ndarray, "3 h w"], inside: Bool[np.ndarray, "h w"], grain: float
) -> Float[np.ndarray, "3 h w"]:
    """The image without what does not touch the outline, but for a low contrast.

    Light and dark spots that are not connected with the rim take the colour on the way there. Stripes and layers run
    into the rim and stay. A spot on a plain surround then takes the colours of its surround. One among many colours is
    part of a pattern. Of the rest stays what is common round about, as fur is; the lines of a face on a plain cheek do
    not.

    Args:
        image: colours in [0, 1]; outside they are those of the nearest pixel inside.
        inside: where the thing is.
        grain: greatest contrast of what stays.
    """
    rim = inside & (ndimage.distance_transform_edt(inside) <= RIM)
    if not rim.any():
        return image
    kept = np.where(inside, levelled(image, inside, rim), image)
    rest = image - kept
    spots = features(image, rest, inside, grain) & ~rim
    kept, rest = filled(kept, spots, inside), np.where(spots, 0.0, rest)
    window = (1, 2 * (len(inside) // GRAIN_WINDOW) + 1, 2 * (len(inside) // GRAIN_WINDOW) + 1)
    limit = (COMMON * ndimage.median_filter(np.abs(rest), window)).clip(0, grain)
    carried: Float[np.ndarray, "3 h w"] = kept + rest.clip(-limit, limit)
    return carried


def levelled(
    image: Float[np.ndarray, "3 h w"], inside: Bool[np.ndarray, "h w"], rim: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "3 h w"]:
    """Spots levelled to the way to the rim: two morphological reconstructions (Vincent 1993), channel by channel."""
    found = []
    for channel in image:
        light = np.where(inside, channel, channel[inside].min())
        light = reconstruction(np.where(rim, light, light.min()), light, method="dilation")
        dark = np.where(inside, light, light[inside].max())
        found.append(reconstruction(np.where(rim, dark, dark.max()), dark, method="erosion"))
    return np.stack(found)


def features(
    image: Float[np.ndarray, "3 h w"], rest: Float[np.ndarray, "3 h w"], inside: Bool[np.ndarray, "h w"], grain: float
) -> Bool[np.ndarray, "h w"]:
    """Spots of much contrast, with their soft edges, whose surround is plain but for its lightness."""
    size = len(inside)
    strong = np.linalg.norm(rest, axis=0) > FEATURE * grain
    strong = ndimage.binary_opening(strong, iterations=max(1, size // 128))
    strong = ndimage.binary_dilation(strong, iterations=max(1, size // EDGE)) & inside
    labels, _ = ndimage.label(strong)
    found = np.zeros_like(inside)
    for label, place in enumerate(ndimage.find_objects(labels), 1):
        around = max(2, size // SURROUND)
        box = tuple(slice(max(0, s.start - around), s.stop + around) for s in place)
        spot = labels[box] == label
        ring = ndimage.binary_dilation(spot, iterations=around) & inside[box] & ~strong[box]
        if ring.any() and spread_of_hues(image[:, *box][:, ring]) < PLAIN:
            found[box] |= spot
    return found


def spread_of_hues(colours: Float[np.ndarray, "3 pixels"]) -> float:
    """Median distance of colours to their median, without their lightness: shade and light do not count."""
    hues = colours - colours.mean(0)
    return float(np.median(np.linalg.norm(hues - np.median(hues, axis=1, keepdims=True), axis=0)))


def filled(
    image: Float[np.ndarray, "3 h w"], holes: Bool[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "3 h w"]:
    """Holes with smooth colours of what is beside them, above all in the same rows."""
    if not holes.any():
        return image
    found = spread(image, inside & ~holes)
    for blur in FILLING:
        along = blur * len(inside) / 256
        sigma = (max(0.5, FILLED_ROWS * along), along)
        weight = np.maximum(ndimage.gaussian_filter(inside.astype(float), sigma), 1e-3)
        for _ in range(8):
            smooth = np.stack([ndimage.gaussian_filter(c * inside, sigma) / weight for c in found])
            found = np.where(holes, smooth, found)
    return found
