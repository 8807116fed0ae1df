"""How fast the toy world renders: `python benchmarks/toy_world.py [--objects N]`.

The baseline renders one view for each scene that is built in one process; training renders three in two.
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

SIZE = 64


def render_range(first: int, last: int, n_views: int) -> float:
    """Render objects first .. last - 1; returns the seconds of processor time it took."""
    import torch

    from prior3d.cameras import orbit_cameras
    from prior3d.toyworld.captions import sample_views
    from prior3d.toyworld.objects import sample_object
    from prior3d.toyworld.renders import render_toy, toy_orbit

    torch.set_num_threads(1)
    started = time.process_time()
    for index in range(first, last):
        views = sample_views(np.random.default_rng([0, 2, index]), n_views)
        render_toy(sample_object(0, index), orbit_cameras(toy_orbit(*views), SIZE, SIZE))
    return time.process_time() - started


def measure(workers: int, objects: int, n_views: int) -> tuple[float, float]:
    """Images a second by the clock, and images a second of processor time."""
    edges = np.linspace(0, objects, workers + 1).astype(int).tolist()
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(render_range, [0] * workers, [2] * workers, [n_views] * workers))  # imports and warms up
        started = time.monotonic()
        processor = sum(pool.map(render_range, edges[:-1], edges[1:], [n_views] * workers))
    n_images = objects * n_views
    return n_images / (time.monotonic() - started), n_images / processor


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=100, help="scenes for each row")
    objects = parser.parse_args().objects
    rows = [
        ("1 view a scene, 1 process", measure(1, objects, 1)),
        ("3 views a scene, 1 process", measure(1, objects, 3)),
        ("3 views a scene, 2 processes", measure(2, objects, 3)),
    ]
    baseline = rows[0][1]
    print(f"renders of {SIZE} x {SIZE}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':30}{'images/s':>10}{'ratio':>8}{'images / processor s':>22}{'ratio':>8}")
    for name, (clock, processor) in rows:
        print(f"{name:30}{clock:10.0f}{clock / baseline[0]:8.2f}{processor:22.0f}{processor / baseline[1]:8.2f}")


if __name__ == "__main__":
    main()
