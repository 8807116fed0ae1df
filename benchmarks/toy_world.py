"""How fast the toy world renders, by ray casting and by z-buffer, in one run: `python benchmarks/toy_world.py`.

The baseline casts rays for one view of each scene, in one process. Objects, cameras and samples are the same in all
rows; the last lines say how far the two renderers' pixels are apart.
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from results import add_write_option, markdown_table, write_results

HEADER = ["", "images/s", "ratio", "images / processor s", "ratio"]


def scene(index: int, n_views: int, size: int):
    """A toy object and its cameras."""
    from prior3d.cameras import orbit_cameras
    from prior3d.toyworld.captions import sample_views
    from prior3d.toyworld.objects import sample_object
    from prior3d.toyworld.renders import toy_orbit

    views = sample_views(np.random.default_rng([0, 2, index]), n_views)
    return sample_object(0, index), orbit_cameras(toy_orbit(*views), size, size)


def render_range(first: int, last: int, n_views: int, renderer: str, size: int) -> float:
    """Render objects first .. last - 1; returns the seconds of processor time it took."""
    import torch

    from prior3d.toyworld.rasterised import rasterise_toy
    from prior3d.toyworld.renders import render_toy

    torch.set_num_threads(1)
    render = rasterise_toy if renderer == "z-buffer" else render_toy
    started = time.process_time()
    for index in range(first, last):
        render(*scene(index, n_views, size))
    return time.process_time() - started


def measure(workers: int, objects: int, n_views: int, renderer: str, size: int) -> tuple[float, float]:
    """Images a second by the clock, and images a second of processor time."""
    edges = np.linspace(0, objects, workers + 1).astype(int).tolist()
    given = [[n_views] * workers, [renderer] * workers, [size] * workers]
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(render_range, [0] * workers, [2] * workers, *given))  # imports, compiles and warms up
        started = time.monotonic()
        processor = sum(pool.map(render_range, edges[:-1], edges[1:], *given))
    n_images = objects * n_views
    return n_images / (time.monotonic() - started), n_images / processor


def difference(objects: int) -> str:
    """How far the pixels of the two renderers are apart."""
    from prior3d.toyworld.rasterised import rasterise_toy
    from prior3d.toyworld.renders import render_toy

    apart = [
        np.abs(render_toy(*scene(index, 3, 64)).rgb - rasterise_toy(*scene(index, 3, 64)).rgb)
        for index in range(objects)
    ]
    off = sum(int((one.max(axis=-1) > 3 / 255).sum()) for one in apart)
    pixels = sum(one[..., 0].size for one in apart)
    return f"z-buffer against rays: mean difference {np.mean(apart) * 255:.5f} grey levels of 255, {off} of {pixels:,} \
pixels differ by more than 3"


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=100, help="scenes for each row")
    add_write_option(parser, "toy_world", "speed")
    args = parser.parse_args()
    rows = []
    for size, n_views, workers in ((64, 1, 1), (64, 3, 1), (64, 3, 2), (64, 13, 1), (128, 13, 1)):
        for renderer in ("rays", "z-buffer"):
            clock, processor = measure(workers, args.objects, n_views, renderer, size)
            name = f"{renderer}, {size} pixels, {n_views} views a scene, {workers} process{'es' * (workers > 1)}"
            rows.append((name, clock, processor))
    _, base, base_processor = rows[0]
    cells = [(name, f"{c:.0f}", f"{c / base:.2f}", f"{p:.0f}", f"{p / base_processor:.2f}") for name, c, p in rows]
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end"
    text = f"{markdown_table(HEADER, cells)}\n\n{difference(args.objects)}; {load}."
    print(text)
    if args.write:
        write_results(args.write, "toy_world", text)


if __name__ == "__main__":
    main()
