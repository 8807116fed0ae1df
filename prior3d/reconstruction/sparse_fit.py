"""Fit a field to a few posed views, and to images that a prior makes of the views between them.

Views have masks (outside of an object there is nothing) or none (then a smooth background lies behind the field).
"""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.fields import DenseGrids, FieldConfig, ObjectField
from prior3d.losses.robust import charbonnier_loss
from prior3d.losses.surface import surface_terms
from prior3d.optimisation import Monitor, adam, decay, optimise
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.view_targets import RayBatch, ViewTargets, view_losses
from prior3d.rendering import Rendering, render_rays
from prior3d.rendering.background import Background, render_images
from prior3d.seeds import Seeds
from prior3d.sending import sent
from prior3d.settings.reconstruction import FitSettings

Terms = dict[str, Float[Tensor, ""]]


class SparseFit:
    """The losses of one step: input views, the prior's views if there are any, and the terms that make a surface.

    Args:
        field: what is fitted.
        inputs: the input views.
        settings: of the fit.
        seeds: "rays", "target_rays", "samples", "behind" and "neighbours" are drawn here.
        targets: the prior's views; None: there are none.
        background: what lies behind the field where the views have no masks.
    """

    def __init__(
        self,
        field: ObjectField,
        inputs: ViewTargets,
        settings: FitSettings,
        seeds: Seeds,
        targets: ViewTargets | None = None,
        background: Background | None = None,
    ) -> None:
        self.field, self.inputs, self.targets = field, inputs, targets
        self.settings, self.seeds, self.background = settings, seeds, background

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All that changes, for checkpoints."""
        found: dict[str, nn.Module] = {"field": self.field}
        if self.targets is not None:
            found["targets"] = self.targets
        return found if self.background is None else found | {"background": self.background}

    def losses(self, progress: float, target_weight: float = 0.0) -> Terms:
        """Weighted losses after a fraction `progress` of the steps; the prior's views count `target_weight`."""
        settings = self.settings
        batches = [self.inputs.draw(settings.rays_per_step, self.seeds.generator("rays"), by_weight=True)]
        if self.targets is not None and target_weight > 0:
            batches.append(self.targets.draw(settings.rays_per_step, self.seeds.generator("target_rays")))
        origins, directions = (torch.cat([getattr(b, n) for b in batches]) for n in ("origins", "directions"))
        rendering = render_rays(
            self.field, origins, directions, settings.n_samples, self.seeds.generator("samples", origins.device)
        )
        terms: dict[str, Tensor] = {}
        first = 0
        for batch, name, weight in zip(batches, ("input", "prior"), (1.0, target_weight), strict=False):
            part = slice(first, first := first + len(batch.origins))
            piece = Rendering(**{key: value[part] for key, value in vars(rendering).items()})
            colour, mask = view_losses(piece, batch, self._behind(batch), charbonnier_loss, self.inputs.masked)
            terms |= {f"{name}_colour": weight * colour, f"{name}_mask": weight * settings.mask_weight * mask}
        surface = surface_terms(self.field, rendering, settings.surface, progress, self.seeds)
        smoothness = {"smoothness": surface.pop("smoothness")} if "smoothness" in surface else {}
        return terms | surface | smoothness  # in this order: the last digit of their sum depends on it

    def _behind(self, batch: RayBatch) -> Float[Tensor, "rays 3"]:
        """Backgrounds of rays: random ones with masks, so that nothing transparent passes for opaque."""
        if self.background is not None:
            colours: Tensor = self.background(batch.directions)
            return colours
        return sent(torch.rand(batch.colours.shape, generator=self.seeds.generator("behind")), batch.colours)

    def run(
        self, n_steps: int, checkpoint: Path, monitor: Monitor, losses: Callable[[int], Terms] | None = None
    ) -> bool:
        """Carry the fit out, from its checkpoint on if there is one.

        Args:
            n_steps: in all.
            checkpoint: where it is kept.
            monitor: is told about every step, and asked whether to stop.
            losses: weighted terms of a step; None: those of the input views alone.

        Returns:
            Whether it came to its end; False when it was stopped, with the checkpoint saved.
        """
        optimiser = self.settings.optimiser
        groups = self.field.parameter_groups(optimiser.learning_rate)
        if self.background is not None:
            groups.append({"params": list(self.background.parameters()), "lr": optimiser.learning_rate})
        return optimise(
            losses or (lambda step: self.losses(step / n_steps)),
            modules=self.modules,
            optimiser=adam(groups, optimiser),
            n_steps=n_steps,
            seeds=self.seeds,
            checkpoint=checkpoint,
            monitor=monitor,
            learning_rate_factor=decay(optimiser),
            advice="lower fit.optimiser.learning_rate",
        )

    def images(
        self, cameras: Cameras, level: float | None = None
    ) -> tuple[Float[Tensor, "views 3 height width"], Float[Tensor, "views height width"]]:
        """Renders and opacities without a gradient: over the learned background, else over a grey level or nothing."""
        behind = self.background if self.background is not None else level
        return render_images(self.field, cameras, self.settings.n_samples, behind)


def start_fit(views: InputViews, settings: FitSettings, seeds: Seeds, targets: ViewTargets | None = None) -> SparseFit:
    """A fit at its start: thin fog with a denser middle, and the views as targets.

    Args:
        views: the input views.
        settings: of the fit.
        seeds: of all its random choices; "field" is drawn here.
        targets: the prior's views, with masks if the input views have them; None: a fit without a prior.
    """
    masked, device = views.masks is not None, views.colours.device
    inputs = ViewTargets(views.cameras, masked)
    inputs.put(slice(None), views.colours, views.masks, views.weights)
    config = FieldConfig(encoding=DenseGrids(settings.resolutions), head="rgb", channels=3, density_bias=-2.0)
    field = ObjectField(config, seeds.generator("field")).to(device)
    return SparseFit(field, inputs, settings, seeds, targets, None if masked else Background().to(device))
