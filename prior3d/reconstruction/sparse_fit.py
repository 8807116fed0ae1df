"""Fit a field to a few posed views, and to pictures that a prior makes of the views between them.

Views have masks (outside of an object there is nothing) or none (then a smooth background lies behind the field). Every
pixel has a weight; one of weight 0 is not looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.fields import DenseGrids, FieldConfig, ObjectField, RadianceField
from prior3d.losses.regularisers import distortion, opacity_entropy_bits, opacity_sparsity, ramp, total_variation
from prior3d.rendering import Rendering, rays, render_rays, render_without_gradient
from prior3d.seeds import Seeds

N_NEIGHBOURS, NEIGHBOUR_DISTANCE = 8192, 0.04  # points a step, and how far their neighbours are in world units
KNEE = 0.1  # of the Huber loss, in units of colour


@dataclass(frozen=True)
class FitSettings:
    """How a field is fitted.

    Attributes:
        resolutions: of its dense grids, nodes along an axis.
        n_samples: intervals along a ray.
        rays_per_step: of the input views; as many again of the prior's views, where there are such.
        mask_weight: of the difference of opacity and mask.
        entropy_weight, distortion_weight, sparsity_weight, smoothness_weight: of the terms that make fog a surface.
        ramp: fractions of the steps between which the first three of them rise.
    """

    resolutions: tuple[int, ...] = (17, 33)
    n_samples: int = 48
    rays_per_step: int = 1024
    mask_weight: float = 0.5
    entropy_weight: float = 0.02
    distortion_weight: float = 0.5
    sparsity_weight: float = 0.001
    smoothness_weight: float = 3.0
    ramp: tuple[float, float] = (0.3, 1.0)


@dataclass(frozen=True)
class RayBatch:
    """Rays [n, 3] with what they should show: colours [n, 3] premultiplied by masks [n], and weights [n]."""

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    colours: Float[Tensor, "rays 3"]
    masks: Float[Tensor, "rays"]
    weights: Float[Tensor, "rays"]


class ViewRays(nn.Module):
    """Views to fit; they may be replaced one by one, and checkpoints hold them.

    Attributes:
        masked: whether `masks` say where the object is; if not, colours are of whole pictures.
        colours: [views, height, width, 3], premultiplied by the masks where there are such.
        masks: [views, height, width] in [0, 1].
        weights: [views, height, width], 0 where a pixel does not count.
    """

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    colours: Float[Tensor, "views height width 3"]
    masks: Float[Tensor, "views height width"]
    weights: Float[Tensor, "views height width"]

    def __init__(self, cameras: Cameras, masked: bool):
        """Begin with empty views of no weight."""
        super().__init__()
        self.cameras, self.masked = cameras, masked
        origins, directions = rays(cameras)
        shape = origins.shape[:-1]
        self.register_buffer("origins", origins.reshape(-1, 3), persistent=False)
        self.register_buffer("directions", directions.reshape(-1, 3), persistent=False)
        self.register_buffer("colours", torch.zeros(*shape, 3, device=origins.device))
        self.register_buffer("masks", torch.ones(shape, device=origins.device))
        self.register_buffer("weights", torch.zeros(shape, device=origins.device))

    def put(
        self,
        index: Int[Tensor, "chosen"],
        images: Float[Tensor, "chosen 3 height width"],
        masks: Float[Tensor, "chosen height width"] | None,
        weights: Float[Tensor, "#chosen #height #width"] | float = 1.0,
    ) -> None:
        """Replace the views at `index` [n].

        Args:
            index: numbers of views.
            images: [n, 3, height, width], premultiplied where there are masks.
            masks: [n, height, width], or None where there are none.
            weights: one number, or [n, 1, 1], or [n, height, width].
        """
        device = self.colours.device
        self.colours[index] = images.movedim(1, -1).to(device)
        if masks is not None:
            self.masks[index] = masks.to(device)
        self.weights[index] = torch.as_tensor(weights, dtype=torch.float32, device=device)

    def draw(self, n_rays: int, generator: torch.Generator, idle: float = 0.1, *, by_weight: bool = False) -> RayBatch:
        """Draw rays, most of them on and near masks; none of weight 0 (all of weight 0: any, which then count 0).

        Args:
            n_rays: how many.
            generator: of the choice, on the CPU.
            idle: how often rays far from masks are drawn, relative to the others.
            by_weight: draw in proportion to the weights, and count all rays alike; else draw those of all weights
                alike, and give their weights.
        """
        interest = self.weights.double() if by_weight else (self.weights > 0).double()
        if self.masked:
            reach = 2 * max(1, self.masks.shape[1] // 24) + 1
            near = functional.max_pool2d(self.masks[:, None], reach, stride=1, padding=reach // 2)[:, 0] > 0.1
            interest = interest * torch.where(near, 1.0, idle).double()
        cumulative = interest.view(-1).cumsum(0)
        places = torch.rand(n_rays, dtype=torch.float64, generator=generator).to(cumulative.device) * cumulative[-1]
        i = torch.searchsorted(cumulative, places, right=True).clamp_max(len(cumulative) - 1)
        weights = self.weights.view(-1)[i]
        weights = (weights > 0).to(weights) if by_weight else weights
        return RayBatch(
            self.origins[i], self.directions[i], self.colours.view(-1, 3)[i], self.masks.view(-1)[i], weights
        )


class Surroundings(nn.Module):
    """A smooth background: a colour for every direction, from the nine lowest spherical harmonics."""

    def __init__(self) -> None:
        """Grey all round."""
        super().__init__()
        self.coefficients = nn.Parameter(torch.zeros(9, 3))

    def forward(self, directions: Float[Tensor, "*rays 3"]) -> Float[Tensor, "*rays 3"]:
        """Colours [..., 3] in (0, 1) for unit directions [..., 3]."""
        x, y, z = directions.unbind(-1)
        basis = [torch.ones_like(x), x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1]
        return (torch.stack(basis, -1) @ self.coefficients).sigmoid()


def sparse_field(settings: FitSettings, generator: torch.Generator) -> ObjectField:
    """An RGB field of dense grids at its start: thin fog with a denser middle."""
    config = FieldConfig(encoding=DenseGrids(settings.resolutions), head="rgb", channels=3, density_bias=-2.0)
    return ObjectField(config, generator)


def view_losses(
    rendering: Rendering, batch: RayBatch, behind: Float[Tensor, "rays 3"], masked: bool
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """How far rendered rays are from what they should show: weighted means of the colours' and the masks' difference.

    Args:
        rendering: of the rays, without a background.
        batch: what they should show.
        behind: [rays, 3] background: put behind both where there are masks, else behind the render alone.
        masked: whether the batch's masks count; without them the second loss is 0.
    """
    rendered = rendering.features + (1 - rendering.opacity)[:, None] * behind
    wanted = batch.colours + (1 - batch.masks)[:, None] * behind if masked else batch.colours
    colour = (batch.weights * huber(rendered - wanted).mean(-1)).mean()
    if not masked:
        return colour, colour.new_zeros(())
    return colour, (batch.weights * (rendering.opacity - batch.masks).abs()).mean()


def huber(error: Float[Tensor, "*values"]) -> Float[Tensor, "*values"]:
    """Quadratic below the knee and linear, with slope 1, above: knee (√(1 + (e / knee)²) - 1)."""
    return ((1 + (error / KNEE).square()).sqrt() - 1) * KNEE


class SparseFit:
    """The losses of one step: input views, the prior's views if there are any, and the terms that make a surface."""

    def __init__(
        self,
        field: ObjectField,
        inputs: ViewRays,
        settings: FitSettings,
        seeds: Seeds,
        targets: ViewRays | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Take what is fitted and to what; without masks give `surroundings`."""
        self.field, self.inputs, self.targets = field, inputs, targets
        self.settings, self.seeds, self.surroundings = settings, seeds, surroundings

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All that changes, for checkpoints."""
        found: dict[str, nn.Module] = {"field": self.field}
        if self.targets is not None:
            found["targets"] = self.targets
        return found if self.surroundings is None else found | {"surroundings": self.surroundings}

    def optimiser(self, learning_rate: float) -> torch.optim.Adam:
        """Adam over all of them."""
        groups = self.field.parameter_groups(learning_rate)
        if self.surroundings is not None:
            groups.append({"params": list(self.surroundings.parameters()), "lr": learning_rate, "name": "surroundings"})
        return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-6)

    def losses(self, progress: float, target_weight: float = 0.0) -> dict[str, Float[Tensor, ""]]:
        """Weighted losses after a fraction `progress` of the steps; the prior's views count `target_weight`."""
        settings = self.settings
        batches = [self.inputs.draw(settings.rays_per_step, self.generator("rays"), by_weight=True)]
        if self.targets is not None and target_weight > 0:
            batches.append(self.targets.draw(settings.rays_per_step, self.generator("target_rays")))
        origins, directions = (torch.cat([getattr(b, n) for b in batches]) for n in ("origins", "directions"))
        rendering = render_rays(self.field, origins, directions, settings.n_samples, self.generator("samples"))
        terms: dict[str, Tensor] = {}
        first = 0
        for batch, name, weight in zip(batches, ("input", "prior"), (1.0, target_weight), strict=False):
            part = slice(first, first := first + len(batch.origins))
            piece = Rendering(**{key: value[part] for key, value in vars(rendering).items()})
            colour, mask = view_losses(piece, batch, self.behind(batch), self.inputs.masked)
            terms |= {f"{name}_colour": weight * colour, f"{name}_mask": weight * settings.mask_weight * mask}
        return terms | self.surface_terms(rendering, ramp(progress, *settings.ramp))

    def behind(self, batch: RayBatch) -> Float[Tensor, "rays 3"]:
        """Backgrounds [rays, 3]: random ones with masks, so that nothing transparent passes for opaque."""
        if self.surroundings is not None:
            colours: Tensor = self.surroundings(batch.directions)
            return colours
        return torch.rand(batch.colours.shape, generator=self.generator("behind")).to(batch.colours)

    def surface_terms(self, rendering: Rendering, strength: float) -> dict[str, Float[Tensor, ""]]:
        """What makes fog a surface."""
        settings, device = self.settings, rendering.opacity.device
        points = (torch.rand((N_NEIGHBOURS, 3), generator=self.generator("neighbours")) * 2 - 1).to(device)
        points = points * self.field.config.bound
        offsets = functional.normalize(torch.randn(points.shape, generator=self.generator("neighbours")), dim=-1)
        smoothness = total_variation(self.field, points, offsets.to(device) * NEIGHBOUR_DISTANCE, NEIGHBOUR_DISTANCE)
        spread = distortion(rendering.weights, rendering.starts, rendering.ends)
        return {
            "entropy": strength * settings.entropy_weight * opacity_entropy_bits(rendering.opacity),
            "distortion": strength * settings.distortion_weight * spread,
            "sparsity": strength * settings.sparsity_weight * opacity_sparsity(rendering.opacity),
            "smoothness": settings.smoothness_weight * smoothness,
        }

    def generator(self, name: str) -> torch.Generator:
        """A named stream of random numbers."""
        return self.seeds.generator(name)

    def pictures(
        self, cameras: Cameras, level: float | None = None
    ) -> tuple[Float[Tensor, "views 3 height width"], Float[Tensor, "views height width"]]:
        """Renders [views, 3, height, width] over a grey level or the surroundings, and opacities; without gradient."""
        return rendered(self.field, cameras, self.settings.n_samples, level, self.surroundings)


def rendered(
    field: RadianceField,
    cameras: Cameras,
    n_samples: int,
    level: float | None,
    surroundings: Surroundings | None = None,
) -> tuple[Float[Tensor, "views 3 height width"], Float[Tensor, "views height width"]]:
    """Pictures [views, 3, height, width] over a grey level, surroundings or nothing (premultiplied), and opacities."""
    features, opacity, _ = render_without_gradient(field, cameras, n_samples)
    if surroundings is not None:
        with torch.no_grad():
            features = features + (1 - opacity)[..., None] * surroundings(rays(cameras)[1])
    elif level is not None:
        features = features + (1 - opacity)[..., None] * level
    return features.movedim(-1, 1).clamp(0, 1), opacity


def plain_fit(
    images: Float[Tensor, "views 3 height width"],
    masks: Float[Tensor, "views height width"] | None,
    weights: Float[Tensor, "#views #height #width"] | float,
    cameras: Cameras,
    settings: FitSettings,
    seeds: Seeds,
    *,
    fit: Callable[[SparseFit], bool],
) -> SparseFit | None:
    """A field fitted to the input views alone; None when it was stopped.

    Args:
        images: [views, 3, height, width], premultiplied where there are masks.
        masks: [views, height, width] or None.
        weights: of pixels, as in `ViewRays.put`.
        cameras: of the views.
        settings: of the fit.
        seeds: of all its random choices.
        fit: carries it out, and says whether it came to its end.
    """
    inputs = ViewRays(cameras, masks is not None)
    inputs.put(torch.arange(len(images)), images, masks, weights)
    field = sparse_field(settings, seeds.generator("field")).to(images.device)
    surroundings = None if masks is not None else Surroundings().to(images.device)
    made = SparseFit(field, inputs, settings, seeds, surroundings=surroundings)
    return made if fit(made) else None
