"""Make-It-3D's coloured points against its mesh: `python benchmarks/points_or_mesh.py --project FOLDER [--objects N]`.

The paper's second stage has no mesh: the picture's pixels, and those of the coarse field's views where the picture's
points do not reach, become points with a colour and a feature each, splatted (eight a pixel, alpha 1 - √(0.1 d²/r²))
and turned into a picture by a small gated U-Net, which is trained beside the features (Tang et al. 2023, section 3.3;
numbers from the authors' description). Here that is done for runs of `make-it-3d` that `image_to_3d.py` has left, with
the prior of the mesh's texture: it refreshes the points' views at a strength of 0.3, as `texture_refinement` does.
All of them are seen from the 16 novel cameras of `image_to_3d.py`, beside exact renders.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from image_to_3d import SIZE, WORLD_SEED, cell, novel_cameras, sharpness
from torch import Tensor, nn

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.diffusion.concepts import add_concept
from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.distillation.view_sampler import ViewSampler, spiral
from prior3d.fields import RadianceField
from prior3d.images.files import contact_sheet, write_png
from prior3d.images.object_image import ObjectImage
from prior3d.meshes.raster import render_mesh
from prior3d.metrics import psnr_db, ssim
from prior3d.rendering import rays, render_without_gradient
from prior3d.rendering.rays import project
from prior3d.seeds import Seeds
from prior3d.settings.distillation import PromptSettings, ViewSettings
from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.renders import render_toy
from stages.artifacts.fields import load_field
from stages.artifacts.images import load_object_image
from stages.artifacts.meshes import load_textured_mesh
from stages.artifacts.priors import load_concept

SPLAT_SIZE, RADIUS_PX, POINTS_A_PIXEL, N_FEATURES = 128, 1.6, 8, 16
N_VIEWS, N_SAMPLES, STEPS, STRENGTH, NUM_INFERENCE_STEPS, LEVEL = 24, 96, 300, 0.3, 6, 1.0
GUIDANCE_SCALE = 3.0
FIGURES = ("psnr", "ssim", "reference_psnr", "sharpness", "seconds")


@dataclass
class Points:
    """Places [n, 3], colours [n, 3], and which of them are the image's [n]."""

    places: Tensor
    colours: Tensor
    given: Tensor


@dataclass
class Splats:
    """What a camera sees of points: m pixels (flat places [m]), each with up to eight points and weights [m, 8]."""

    pixels: Tensor
    points: Tensor
    weights: Tensor

    def paint(self, values: Tensor) -> Tensor:
        """Composite [n, channels] over nothing: [channels + 1, size, size], coverage last."""
        layers = torch.cat([values, values.new_ones(len(values), 1)], 1)
        mixed = (self.weights[..., None] * layers[self.points]).sum(1)
        picture = mixed.new_zeros(SPLAT_SIZE**2, layers.shape[1]).index_copy(0, self.pixels, mixed)
        return picture.T.reshape(-1, SPLAT_SIZE, SPLAT_SIZE)


def splat(places: Tensor, camera: Cameras) -> Splats:
    """The nearest eight points of every pixel, composited front to back."""
    where, distance = project(camera, places)
    where, distance = where[0], distance[0]
    reach = int(np.ceil(RADIUS_PX))
    found = []
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            pixel = where.floor() + torch.tensor([dx, dy])
            apart = ((pixel + 0.5 - where) ** 2).sum(-1)
            inside = ((pixel >= 0) & (pixel < SPLAT_SIZE)).all(-1) & (apart < RADIUS_PX**2) & (distance > 0)
            rows = inside.nonzero()[:, 0]
            flat = (pixel[rows, 1] * SPLAT_SIZE + pixel[rows, 0]).long()
            found.append((flat, rows, 1 - (0.1 * apart[rows] / RADIUS_PX**2).sqrt()))
    flat, rows, alpha = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.argsort(flat.double() * 1e3 + distance[rows].double())
    flat, rows, alpha = flat[order], rows[order], alpha[order]
    pixels, counts = flat.unique_consecutive(return_counts=True)
    first = torch.cat([counts.new_zeros(1), counts.cumsum(0)[:-1]])
    rank = torch.arange(len(flat)) - first.repeat_interleave(counts)
    kept = rank < POINTS_A_PIXEL
    row = torch.arange(len(pixels)).repeat_interleave(counts)[kept]
    points = torch.zeros(len(pixels), POINTS_A_PIXEL, dtype=torch.long)
    opaque = torch.zeros(len(pixels), POINTS_A_PIXEL)
    points[row, rank[kept]], opaque[row, rank[kept]] = rows[kept], alpha[kept]
    passed = torch.cumprod(torch.cat([torch.ones(len(pixels), 1), 1 - opaque[:, :-1]], 1), 1)
    return Splats(pixels, points, opaque * passed)


def points_of(field: RadianceField, picture: ObjectImage, cameras: Cameras) -> Points:
    """The image's pixels at the field's depth; then of each view what the points so far leave open."""
    own = picture.viewpoint.cameras(SPLAT_SIZE)
    colours, mask = picture.premultiplied(SPLAT_SIZE)
    places, _, solid = unprojected(field, own)
    whole = functional.max_pool2d(1 - mask[None, None], 3, 1, 1)[0, 0] < 0.05  # rims hold background
    chosen = solid & whole
    cloud = Points(places[chosen], colours[chosen] / mask[chosen][:, None], torch.ones(int(chosen.sum())).bool())
    for view in range(cameras.views):
        camera = cameras[view]
        places, colours, solid = unprojected(field, camera)
        covered = splat(cloud.places, camera).paint(cloud.colours)[-1]
        new = solid & (functional.max_pool2d(covered[None, None], 3, 1, 1)[0, 0] < 0.5)
        cloud = Points(
            torch.cat([cloud.places, places[new]]),
            torch.cat([cloud.colours, colours[new]]),
            torch.cat([cloud.given, torch.zeros(int(new.sum())).bool()]),
        )
    return cloud


def unprojected(field: RadianceField, camera: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Where the rays of a camera meet the field [h, w, 3], its colour there, and whether they meet anything."""
    features, opacity, depth = render_without_gradient(field, camera, N_SAMPLES)
    origins, directions = rays(camera)
    places = origins[0] + directions[0] * depth[0][..., None]
    return places, (features[0] / opacity[0].clamp_min(1e-3)[..., None]).clamp(0, 1), opacity[0] > 0.5


class GatedUNet(nn.Module):
    """Three scales of gated convolutions, average pooling down, bilinear up, a sigmoid at the end."""

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64)):
        super().__init__()
        given = N_FEATURES + 4
        self.down = nn.ModuleList(gated(a, b) for a, b in zip((given, *channels[:-1]), channels, strict=True))
        self.up = nn.ModuleList(gated(a + b, a) for a, b in zip(channels[:-1], channels[1:], strict=True))
        self.last = nn.Conv2d(channels[0], 3, 1)

    def forward(self, layers: Tensor) -> Tensor:
        """[1, features + 4, h, w] to [1, 3, h, w]."""
        kept = []
        for place, layer in enumerate(self.down):
            layers = layer(functional.avg_pool2d(layers, 2) if place else layers)
            kept.append(layers)
        for place in reversed(range(len(self.up))):
            grown = functional.interpolate(layers, scale_factor=2, mode="bilinear", align_corners=False)
            layers = self.up[place](torch.cat([kept[place], grown], 1))
        return self.last(layers).sigmoid()


def gated(given: int, made: int) -> nn.Module:
    """A 3x3 convolution of which one half lets the other through."""
    return nn.Sequential(nn.Conv2d(given, 2 * made, 3, padding=1), nn.GLU(dim=1))


class Deferred:
    """The renderer: features and a network, beside the points' colours."""

    def __init__(self, cloud: Points, seeds: Seeds):
        torch.manual_seed(seeds.seed)
        self.cloud, self.network = cloud, GatedUNet()
        self.features = nn.Parameter(0.1 * torch.randn(len(cloud.places), N_FEATURES))
        self.colours = nn.Parameter(cloud.colours.clone())

    def picture(self, seen: Splats) -> Tensor:
        """[3, SIZE, SIZE] over white."""
        layers = seen.paint(torch.cat([self.colours, self.features], 1))
        made = self.network(layers[None])[0]
        coverage = layers[-1:]
        return functional.avg_pool2d((made * coverage + LEVEL * (1 - coverage))[None], SPLAT_SIZE // SIZE)[0]

    def fit(self, own: Splats, given: Tensor, others: list[Splats], targets: Tensor, seeds: Seeds) -> None:
        """A quarter of the steps on the image, the others on refreshed views; colours stay near what they were."""
        parameters = [self.features, self.colours, *self.network.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=2e-3)
        start, weight = self.cloud.colours, torch.where(self.cloud.given, 100.0, 1.0)[:, None]
        for _ in range(STEPS):
            place = int(torch.randint(len(others), (), generator=seeds.generator("views")))
            on_picture = float(torch.rand((), generator=seeds.generator("views"))) < 0.25
            seen, wanted = (own, given) if on_picture else (others[place], targets[place])
            loss = (10 if on_picture else 1) * (self.picture(seen) - wanted).abs().mean()
            loss = loss + (weight * (self.colours - start) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def plainly(cloud: Points, seen: Splats) -> Tensor:
    """Points' own colours over white, [3, SIZE, SIZE]."""
    layers = seen.paint(cloud.colours)
    return functional.avg_pool2d((layers[:3] + LEVEL * (1 - layers[3:]))[None], SPLAT_SIZE // SIZE)[0]


def refreshed(pictures: Tensor, sampler: ViewSampler, seeds: Seeds) -> Tensor:
    """The views, taken to the noise level and back by the prior (SDEdit)."""
    prior, orbit = sampler.prior, spiral(sampler.views, N_VIEWS)
    background = sampler.background_names.index("white")
    with torch.no_grad():
        latents = sampler.sdedit(prior.encode(pictures), orbit, background, STRENGTH, NUM_INFERENCE_STEPS, seeds)
        return prior.decode(latents).clamp(0, 1)


def judge(made: np.ndarray, true: np.ndarray, seen: np.ndarray, given: np.ndarray, seconds: float) -> dict[str, float]:
    """The figures of one way: images [views, h, w, 3] of novel cameras, and of the image's own."""
    return {
        "psnr": float(np.mean([psnr_db(a, b) for a, b in zip(true, made, strict=True)])),
        "ssim": float(np.mean([ssim(a, b) for a, b in zip(true, made, strict=True)])),
        "reference_psnr": psnr_db(given, seen),
        "sharpness": sharpness(made, true),
        "seconds": seconds,
    }


def both(run: Path, index: int) -> tuple[dict[str, dict[str, float]], list[list[np.ndarray]]]:
    """All ways for one object, and rows of images."""
    toy, seeds, ranges = sample_object(WORLD_SEED, index, "held-out"), Seeds(0), ViewSettings()
    field = load_field(run / "image_nerf").requires_grad_(False)
    picture = load_object_image(run / "image_preparation")
    own, ring = picture.viewpoint.cameras(SPLAT_SIZE), orbit_cameras(spiral(ranges, N_VIEWS), SPLAT_SIZE, SPLAT_SIZE)
    novel = novel_cameras(picture.viewpoint.azimuth_deg)
    true = render_toy(toy, novel).over((1.0, 1.0, 1.0))
    given = render_toy(toy, picture.viewpoint.cameras(SIZE)).over((1.0, 1.0, 1.0))[0]
    started = time.process_time()
    cloud = points_of(field, picture, ring)
    seen, novel_seen = (
        splat(cloud.places, own),
        [splat(cloud.places, novel[view].resized(SPLAT_SIZE, SPLAT_SIZE)) for view in range(novel.views)],
    )
    around = [splat(cloud.places, ring[view]) for view in range(ring.views)]
    plain = [plainly(cloud, s) for s in (seen, *novel_seen)]
    built = time.process_time() - started
    prior = load_text_to_image(embedded_prior("toy"), torch.device("cpu"))
    concept = load_concept(run / "textual_inversion")
    add_concept(prior, concept)
    views = ViewSampler(prior, f"a {concept.token}", ranges, PromptSettings(), GUIDANCE_SCALE, named_backgrounds=True)
    targets = refreshed(torch.stack([plainly(cloud, s) for s in around]), views, seeds)
    renderer = Deferred(cloud, seeds)
    renderer.fit(seen, picture.over(LEVEL, SIZE), around, targets, seeds)
    with torch.no_grad():
        drawn = [renderer.picture(s) for s in (seen, *novel_seen)]
    trained = time.process_time() - started
    mesh = load_textured_mesh(run / "texture_refinement")
    from_mesh = render_mesh(mesh, novel, background=1.0).rgb
    own_of_mesh = render_mesh(mesh, picture.viewpoint.cameras(SIZE), background=1.0).rgb[0]
    ways = {"points": _arrays(plain), "points and network": _arrays(drawn), "mesh": [own_of_mesh, *from_mesh]}
    seconds = {"points": built, "points and network": trained, "mesh": mesh_seconds(run)}
    found = {name: judge(np.stack(made[1:]), true, made[0], given, seconds[name]) for name, made in ways.items()}
    rows = [[given, *true[::2]], *([made[0], *made[1::2]] for made in ways.values())]
    return found, [list(row) for row in rows]


def mesh_seconds(run: Path) -> float:
    """What the stages behind the coarse field took together."""
    later = ("mesh_extraction", "texture_baking", "texture_projection", "inpainting", "texture_refinement")
    return sum(json.loads((run / f"{name}.cost.json").read_text())["seconds"] for name in later)


def _arrays(pictures: list[Tensor]) -> list[np.ndarray]:
    return [picture.movedim(0, -1).clamp(0, 1).numpy() for picture in pictures]


def main() -> None:
    """Judge the runs that are there, print a line each and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="where image_to_3d.py --method make-it-3d ran")
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--sheet", type=Path, help="a PNG: exact, points, points and network, mesh")
    args = parser.parse_args()
    torch.set_num_threads(1)
    all_of: dict[str, list[dict[str, float]]] = {}
    pictures: list[list[np.ndarray]] = []
    for index in range(args.objects):
        run = args.project / "data" / "runs" / f"make-it-3d-full-{index:02d}"
        if not (run / "texture_refinement" / "mesh.glb").is_file():
            continue
        found, rows = both(run, index)
        pictures += rows
        for name, figures in found.items():
            all_of.setdefault(name, []).append(figures)
            told = "  ".join(f"{figure} {figures[figure]:.3f}" for figure in FIGURES)
            print(f"{index:02d} {name:20} {told}", flush=True)
    print(f"{'':20}{'n':>4}" + "".join(f"{figure:>27}" for figure in FIGURES))
    for name, rows_of in all_of.items():
        print(f"{name:20}{len(rows_of):4d}" + "".join(cell([row[figure] for row in rows_of]) for figure in FIGURES))
    if args.sheet and pictures:
        write_png(args.sheet, contact_sheet(pictures))


if __name__ == "__main__":
    main()
