"""How well an object is told from a busy background: `python benchmarks/background_removal.py FOLDER`.

FOLDER has photographs with alpha (`*_rgba.png`). Each is put over nine backgrounds (photographs and textures that come
with scikit-image, and two made here), its alpha is left out, and the mask that comes back is compared with it (IoU).
With `--sheet` the composites and masks are written as one image.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from results import add_write_option, markdown_table, write_results
from scipy.ndimage import gaussian_filter

SIDE, OBJECT_SHARE = 480, 0.68
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "brick", "grass", "gravel")


def backgrounds() -> dict[str, np.ndarray]:
    """RGB in [0, 1], by name."""
    found = {}
    for name in PHOTOGRAPHS:
        pixels = np.asarray(getattr(skimage.data, name)(), np.float32) / 255
        found[name] = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    noise = np.random.default_rng(0).normal(size=(512, 512, 3))
    clouds = sum(gaussian_filter(noise, (s, s, 0)) * s for s in (4, 16, 48))
    found["clouds of colour"] = ((clouds - clouds.min()) / np.ptp(clouds)).astype(np.float32)
    down = np.linspace(0, 1, 512)[:, None, None]
    wall, desk = np.array([0.75, 0.72, 0.68]) * (0.8 + 0.2 * down), np.array([0.45, 0.3, 0.2]) * (0.7 + 0.4 * down)
    scene = np.where(down < 0.6, wall, desk) + 0.02 * noise[..., :1]
    found["a desk before a wall"] = scene.clip(0, 1).astype(np.float32)
    return found


def composites(folder: Path) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Object, background, image [480, 480, 3], and the object's mask [480, 480]."""
    from prior3d.images.files import resample
    from prior3d.images.photographs import read_image

    for file in sorted(folder.glob("*_rgba.png")):
        image = read_image(file)
        rows, columns = np.nonzero(image.alpha > 0.5)
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        rgba = np.concatenate([image.rgb, image.alpha[..., None]], axis=-1)[box]
        scale = OBJECT_SHARE * SIDE / max(rgba.shape[:2])
        height, width = (max(1, round(side * scale)) for side in rgba.shape[:2])
        small = resample(rgba, height, width).clip(0, 1)
        alpha, top, left = small[..., 3:], (SIDE - height) // 2 + 20, (SIDE - width) // 2 - 15
        place = slice(top, top + height), slice(left, left + width)
        for name, pixels in backgrounds().items():
            side = min(pixels.shape[:2])
            scene = resample(pixels[:side, :side], SIDE, SIDE).clip(0, 1).astype(np.float32)
            scene[place] = scene[place] * (1 - alpha) + small[..., :3] * alpha
            mask = np.zeros((SIDE, SIDE), bool)
            mask[place] = alpha[..., 0] > 0.5
            yield file.stem.removesuffix("_rgba"), name, scene, mask


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def main() -> None:
    """Measure, print, and perhaps write."""
    from prior3d.errors import Prior3dError
    from prior3d.images.segmentation import foreground_mask

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photographs with alpha, *_rgba.png")
    parser.add_argument("--sheet", type=Path, help="write the composites and their masks here")
    add_write_option(parser, "background_removal", "image_to_3d")
    args = parser.parse_args()
    table: dict[str, dict[str, float]] = {}
    tiles, seconds, refused = [], 0.0, 0
    for thing, background, scene, mask in composites(args.folder):
        started = time.process_time()
        try:
            found = foreground_mask(scene)[0] > 0.5
        except Prior3dError:
            found, refused = np.zeros_like(mask), refused + 1
        seconds += time.process_time() - started
        table.setdefault(background, {})[thing] = overlap(found, mask)
        tiles.append(np.concatenate([scene, np.where(found[..., None], scene, 1.0)], axis=1)[::3, ::3])
    if not table:
        raise SystemExit(f"{args.folder}: it has no *_rgba.png")
    things = list(next(iter(table.values())))
    rows = [[name, *(f"{row[thing]:.2f}" for thing in things)] for name, row in table.items()]
    header = ["IoU over", *things]
    scores = [value for row in table.values() for value in row.values()]
    text = f"{markdown_table(header, rows)}\n\nMean {np.mean(scores):.3f}, median {np.median(scores):.3f}, \
least {min(scores):.2f}; {refused} of {len(scores)} refused; {seconds / len(scores):.2f} s of processor time an image."
    print(text)
    if args.sheet:
        each = len(table)
        columns = [np.concatenate(tiles[i : i + each]) for i in range(0, len(tiles), each)]
        Image.fromarray((np.concatenate(columns, axis=1) * 255).astype(np.uint8)).save(args.sheet)
    if args.write:
        write_results(args.write, "background_removal", text)


if __name__ == "__main__":
    main()
