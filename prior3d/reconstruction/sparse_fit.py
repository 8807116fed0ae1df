"""Fit a field to a few posed views, and to pictures that a prior makes of the views between them.

Views have masks (outside of an object there is nothing) or none (then a smooth background lies behind the field). Every
pixel has a weight; one of weight 0 is not looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.fields import DenseGrids, FieldConfig, ObjectField, RadianceField
from prior3d.losses.regularisers import distortion, opacity_entropy_bits, opacity_sparsity, ramp, total_variation
from prior3d.losses.robust import charbonnier_loss
from prior3d.reconstruction.view_targets import RayBatch, ViewTargets, view_losses
from prior3d.rendering import Rendering, rays, render_rays, render_without_gradient
from prior3d.seeds import Seeds

N_NEIGHBOURS, NEIGHBOUR_DISTANCE = 8192, 0.04  # points a step, and how far their neighbours are in world units


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


class SparseFit:
    """The losses of one step: input views, the prior's views if there are any, and the terms that make a surface."""

    def __init__(
        self,
        field: ObjectField,
        inputs: ViewTargets,
        settings: FitSettings,
        seeds: Seeds,
        targets: ViewTargets | None = None,
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
            colour, mask = view_losses(piece, batch, self.behind(batch), charbonnier_loss, self.inputs.masked)
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
        weights: of pixels, as in `ViewTargets.put`.
        cameras: of the views.
        settings: of the fit.
        seeds: of all its random choices.
        fit: carries it out, and says whether it came to its end.
    """
    inputs = ViewTargets(cameras, masks is not None)
    inputs.put(torch.arange(len(images)), images, masks, weights)
    field = sparse_field(settings, seeds.generator("field")).to(images.device)
    surroundings = None if masks is not None else Surroundings().to(images.device)
    made = SparseFit(field, inputs, settings, seeds, surroundings=surroundings)
    return made if fit(made) else None
