"""The edit of a captured scene: its images are replaced by edits while a field is fitted to them.

Haque et al. 2023, section 3.2, the iterative dataset update. `SceneEdit` brings together the editor of single images,
the region that an instruction concerns (Mirzaei et al. 2023), and the consensus of all images.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.dataset_update.edit_views import ViewEditor, edit_strength
from prior3d.dataset_update.edited_images import EditedViews
from prior3d.dataset_update.relevance import EditRegion
from prior3d.dataset_update.scene_consensus import OneStepPredictions, aggregate_views
from prior3d.dataset_update.surfaces import Surfaces
from prior3d.seeds import Seeds
from prior3d.settings.scene_edits import ConsensusSettings, RelevanceSettings


@runtime_checkable
class EditedScene(Protocol):
    """A scene that is fitted while its images are edited: a grid, or splats."""

    @property
    def surfaces(self) -> Surfaces:
        """Of the scene before the edit."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the scene lies."""
        ...

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is fitted, by the name that checkpoints use."""
        ...

    @property
    def tables(self) -> tuple[Float[Tensor, "nodes ..."], ...]:
        """What is fitted: tensors with a row for each node of the surfaces."""
        ...

    def render(self, cameras: Cameras, background: float) -> Float[Tensor, "views 3 height width"]:
        """What the scene shows of some views now, in [0, 1], over a grey level."""
        ...


class SceneEdit:
    """A scene's images, and what may become of them.

    Args:
        scene: fitted; what is outside of the region is frozen in it.
        dataset: the images, which are replaced.
        editor: of single images.
        seeds: "levels", "noise" and "guesses" are drawn here.
        relevance: how the region is found.
        consensus: what edits must agree on.

    Attributes:
        surfaces: of the scene before the edit.
        region: where images and field may change; all of the scene at first.
        predictions: of one step, of the untouched photos.
    """

    def __init__(
        self,
        scene: EditedScene,
        dataset: EditedViews,
        editor: ViewEditor,
        seeds: Seeds,
        relevance: RelevanceSettings,
        consensus: ConsensusSettings,
    ) -> None:
        self.scene, self.dataset, self.editor, self.seeds = scene, dataset, editor, seeds
        self.relevance, self.consensus = relevance, consensus
        self.surfaces = scene.surfaces
        n_rows = len(scene.tables[0])
        self.region = EditRegion(n_rows, dataset.n_views, *editor.image_size).to(scene.device)
        self.region.freeze_inactive(scene.tables)
        self.predictions = OneStepPredictions(n_rows).to(scene.device)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All that changes, by the name that checkpoints use."""
        others = {"edited": self.dataset, "region": self.region, "predictions": self.predictions}
        return {**self.scene.modules, **others}

    def restrict(self) -> None:
        """Find where the instruction applies, as all photos say together."""
        generator = self.seeds.generator("noise")
        maps = [
            self.editor.relevance(view, self.dataset.original(view), self.relevance, generator)
            for view in range(self.dataset.n_views)
        ]
        self.region.restrict(self.surfaces, torch.cat(maps), self.relevance.threshold)

    def edited(
        self,
        view: int,
        *,
        from_render: bool,
        progress: float = 0.0,
        generator: torch.Generator | None = None,
        guidance: tuple[float, float] | None = None,
    ) -> Float[Tensor, "1 3 height width"]:
        """An edit of a view; the region's outside stays as photographed.

        Args:
            view: which.
            from_render: denoise the field's render, from a drawn noise level; else the photo, from the highest one.
            progress: fraction of the steps done, in [0, 1].
            generator: of the noise, in place of "noise".
            guidance: image and text guidance that replace the settings'.
        """
        levels = self.seeds.generator("levels") if from_render else None
        strength = edit_strength(self.editor.settings, progress, levels)
        original = self.dataset.original(view)
        rendered = self.scene.render(self.dataset.cameras[view], self.dataset.background) if from_render else None
        noise = generator or self.seeds.generator("noise")
        edit = self.editor.edit(view, original, rendered, strength, noise, guidance)
        return original + (edit - original) * self.region.of(view)

    def replace(self, view: int, *, from_render: bool, progress: float, previous_weight: float = 0.0) -> None:
        """Put an edit in an image's place; `previous_weight` of the image stays."""
        edit = self.edited(view, from_render=from_render, progress=progress)
        self.dataset.put(view, previous_weight * self.dataset.now(view) + (1 - previous_weight) * edit)

    def aggregate(self) -> float:
        """Replace all images by what their edits agree on; returns the greatest change of a pixel's channel."""
        asked = self.consensus.one_step_predictions > 0
        if asked and not self.predictions.known:
            self._predict()
        originals = self.dataset.originals.float() / 255
        edits = self.dataset.pixels.float() / 255
        predictions = self.predictions if asked else None
        changes = aggregate_views(self.surfaces, originals, edits - originals, self.consensus, predictions)
        self.dataset.put_all(originals + changes)
        return float(changes.abs().max())

    def _predict(self) -> None:
        """Ask the prior in one step about all photos."""
        settings, generator = self.consensus, self.seeds.generator("guesses")
        found = [
            self.editor.predict_in_one_step(
                view,
                self.dataset.original(view),
                settings.one_step_predictions,
                settings.one_step_strength,
                generator,
            )
            for view in range(self.dataset.n_views)
        ]
        means, squares = zip(*found, strict=True)
        self.predictions.gather(self.surfaces, torch.stack(means), torch.stack(squares))
