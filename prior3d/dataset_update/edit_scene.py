"""The edit of a captured scene: its images are replaced by edits while a field is fitted to them.

Haque et al. 2023, section 3.2, the iterative dataset update. `SceneEdit` brings together the editor of single images,
the region that an instruction concerns (Mirzaei et al. 2023), and the consensus of all images.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.dataset_update.edit_views import ViewEditor, edit_strength
from prior3d.dataset_update.edited_images import EditedViews
from prior3d.dataset_update.relevance import EditRegion
from prior3d.dataset_update.scene_consensus import OneStepPredictions, aggregate_views
from prior3d.dataset_update.surfaces import surfaces_now
from prior3d.fields.scene_field import SceneField
from prior3d.rendering.scene import occupied_cells, render_scene_view
from prior3d.seeds import Seeds
from prior3d.settings.scene_edits import ConsensusSettings, RelevanceSettings


class SceneEdit:
    """A scene's images, and what may become of them.

    Args:
        field: the scene, fitted; what is outside of the region is frozen in it.
        dataset: the images, which are replaced.
        editor: of single images.
        seeds: "levels", "noise" and "guesses" are drawn here.
        relevance: how the region is found.
        consensus: what edits must agree on.
        n_bins: coarse intervals of a ray.

    Attributes:
        surfaces: of the scene before the edit.
        region: where images and field may change; all of the scene at first.
        predictions: of one step, of the untouched photos.
    """

    def __init__(
        self,
        field: SceneField,
        dataset: EditedViews,
        editor: ViewEditor,
        seeds: Seeds,
        relevance: RelevanceSettings,
        consensus: ConsensusSettings,
        n_bins: int,
    ) -> None:
        self.field, self.dataset, self.editor, self.seeds = field, dataset, editor, seeds
        self.relevance, self.consensus = relevance, consensus
        self.surfaces = surfaces_now(field, dataset.cameras, n_bins)
        n_rows, device = len(field.density_logits), field.rows.device
        self.region = EditRegion(n_rows, dataset.n_views, *editor.image_size).to(device)
        self.region.freeze_inactive(field)
        self.predictions = OneStepPredictions(n_rows).to(device)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All that changes, by the name that checkpoints use."""
        return {"field": self.field, "edited": self.dataset, "region": self.region, "predictions": self.predictions}

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
        rendered = render_images(self.field, self.dataset, [view], self.surfaces.n_bins) if from_render else None
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


def render_images(
    field: SceneField, dataset: EditedViews, views: list[int], n_bins: int
) -> Float[Tensor, "views 3 height width"]:
    """What the field shows of some views, in [0, 1]."""
    cameras = dataset.cameras[torch.tensor(views)]
    images, _, _ = render_scene_view(field, cameras, n_bins, occupied_cells(field), dataset.background)
    return images.movedim(-1, 1).clamp(0, 1)
