"""Parts of dataset_update: the editor of single pictures, where it edits, and the preview of its guidance scales."""

import copy

import torch
from torch import Tensor

from prior3d.dataset_update.edited_images import EditedViews, prior_size, resized, transferred
from prior3d.dataset_update.relevance import Choice, EditRegion, Guesses, agreed_changes
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.embedded import embedded_names
from prior3d.diffusion.instruct import EditSettings, InstructPrior
from prior3d.diffusion.scheduling import instruct_timesteps
from prior3d.fields.scene_field import SceneField
from prior3d.images.files import contact_sheet, write_png
from prior3d.rendering.scene import occupied_cells, render_scene_view
from prior3d.seeds import Seeds
from stages.contract.job import Job
from stages.dataset_update import Params

OWN_RADIUS, OWN_FOV_DEG = 3.2, 40.0  # where a camera must stand for its azimuth to mean something to a toy prior
UNCHANGED = 0.02  # of colour range: changes below it are none
NOTHING_CHANGED = (
    "warning: the prior does not say where this is to be, so nothing is changed; lower dataset_update.least_likely or "
    "least_share, or name another part"
)
MULTIPLE = 16  # sides that every autoencoder and network here can halve


class Editor:
    """Edits pictures of one scene by one instruction."""

    def __init__(
        self,
        job: Job,
        prior: InstructPrior,
        field: SceneField,
        edited: EditedViews,
        params: Params,
        region: EditRegion,
        guesses: Guesses,
        seeds: Seeds,
    ) -> None:
        """Say what the prior has no words for."""
        self._torch, self.job = torch, job
        self.prior, self.field, self.edited, self.params, self.seeds = prior, field, edited, params, seeds
        self.region, self.guesses, self.before = region, guesses, copy.deepcopy(field).requires_grad_(False)
        self.instruction = job.inputs["instruction"].read_text(encoding="utf-8").strip()
        self.occupied = occupied_cells(field)
        height, width = edited.cameras.height, edited.cameras.width
        own = prior.image_size
        embedded = job.prior().name in embedded_names()
        shorter = params.edit_size or (own if embedded else min(height, width) // MULTIPLE * MULTIPLE)
        self.size = prior_size(height, width, shorter, MULTIPLE)
        self.cameras = told_cameras(edited, prior, params)
        unknown = prior.unknown_words(self.instruction)
        job.metric("unknown_words", len(unknown), "words", higher_is_better=False)
        if unknown:
            job.progress(0, params.steps, text=f"warning: this prior does not know: {', '.join(unknown)}")

    def render(self, view: int) -> Tensor:
        """[1, 3, height, width] the field as it is now, over the background."""
        return self.render_many(self.field, self.edited, [view], self.params.background, self.params.segments)

    @staticmethod
    def render_many(
        field: SceneField, edited: EditedViews, chosen: list[int], level: float, segments: int = 64
    ) -> Tensor:
        """[chosen, 3, height, width] in [0, 1]."""
        cameras = edited.cameras[torch.tensor(chosen)].to(field.rows.device)
        pictures, _, _ = render_scene_view(field, cameras, segments, occupied_cells(field), level)
        return pictures.movedim(-1, 1).clamp(0, 1)

    def edit(
        self, view: int, *, from_render: bool, progress: float = 0.0, scales: tuple[float, float] | None = None
    ) -> Tensor:
        """[1, 3, height, width] a picture edited: from the render at a random noise level, or from pure noise.

        Args:
            view: which.
            from_render: else from the photograph, at the highest level.
            progress: how much of the loop is done, 0 to 1.
            scales: image and text guidance, in the place of the parameters'.
        """
        p = self.params
        low, high = p.noise_range
        high += (max(low, p.final_noise or high) - high) * progress
        share = high
        if from_render:
            share = low + (high - low) * float(self._torch.rand((), generator=self.seeds.generator("levels")))
        original = self.edited.original(view)
        small = resized(original, self.size)
        now = resized(self.render(view), self.size) if from_render else small
        made = self.answers(view, now, small, share, self.instruction, p.edits_averaged, scales).mean(0, keepdim=True)
        if not p.transfer:
            picture = resized(made, (original.shape[2], original.shape[3]))
        else:
            with self._torch.no_grad():
                unedited = self.prior.decode(self.prior.encode(small))
            picture = transferred(original, made, unedited, 0.0 if p.consensus else p.least_change)
        return original + (picture - original) * self.region.of(view)

    def answers(
        self,
        view: int,
        now: Tensor,
        small: Tensor,
        share: float,
        instruction: str,
        n: int,
        scales: tuple[float, float] | None = None,
    ) -> Tensor:
        """[n, 3, h, w] what the prior makes of [1, 3, h, w] at its own size, each from noise of its own.

        Args:
            view: whose camera it is told.
            now: where denoising begins.
            small: what the instruction speaks of.
            share: the noise level, of T.
            instruction: in words.
            n: how many.
            scales: image and text guidance, in the place of the parameters'.
        """
        p, prior = self.params, self.prior
        image_scale, text_scale = scales or (p.image_guidance_scale, p.guidance_scale)
        camera = None if self.cameras is None else self.cameras[view : view + 1].expand(n, -1)
        return prior.edit(
            now.expand(n, -1, -1, -1),
            small.expand(n, -1, -1, -1),
            [instruction],
            EditSettings(text_scale, image_scale),
            camera,
            timesteps=instruct_timesteps(max(p.denoising_steps, round(share * prior.n_timesteps)), p.denoising_steps),
            generator=self.seeds.generator("noise"),
        )

    def find_region(self) -> None:
        """Where the instruction applies, as all pictures say together (Mirzaei et al. 2023)."""
        p, edited = self.params, self.edited
        maps = []
        for view in range(edited.views):
            found = self.prior.relevance(
                resized(edited.original(view), self.size),
                self.instruction,
                None if self.cameras is None else self.cameras[view : view + 1],
                strength=p.relevance_noise,
                n_samples=p.relevance_samples,
                generator=self.seeds.generator("noise"),
            )
            maps.append(resized(found, (edited.cameras.height, edited.cameras.width)))
        share = self.region.agree(
            self.before, edited.cameras, self._torch.cat(maps), p.relevance_threshold, p.segments, self.occupied
        )
        self.job.metric("edited_share", share, "of the pixels that show something")

    def guess(self) -> None:
        """Ask the prior about all untouched pictures in one step: where it holds a change possible."""
        p, edited, prior = self.params, self.edited, self.prior
        size = (edited.cameras.height, edited.cameras.width)
        timestep = max(1, round(p.guess_noise * (prior.n_timesteps - 1)))
        means, squares = [], []
        for view in range(edited.views):
            small = resized(edited.original(view), self.size)
            with self._torch.no_grad():
                unedited = prior.decode(prior.encode(small))
            camera = None if self.cameras is None else self.cameras[view : view + 1].expand(p.guesses, -1)
            many = small.expand(p.guesses, -1, -1, -1)
            made = prior.edit(
                many, many, [self.instruction], EditSettings(1.0, 1.0), camera, timesteps=[timestep],
                generator=self.seeds.generator("guesses"),
            )  # fmt: skip
            change = self._torch.nn.functional.interpolate(made - unedited, size, mode="bilinear", align_corners=False)
            means.append(change.mean(0))
            squares.append(change.square().sum(1, keepdim=True).mean(0))
        mean, square = self._torch.stack(means), self._torch.stack(squares)
        self.guesses.gather(self.before, edited.cameras, mean, square, p.segments, self.occupied)

    def agree(self) -> None:
        """Make the edits of all pictures those of one scene: what they say of a surface is averaged over it."""
        p, edited = self.params, self.edited
        if p.guesses > 0 and not self.guesses.known:
            self.guess()
        originals = edited.originals.float() / 255
        changes = agreed_changes(
            self.before, edited.cameras, originals, edited.pixels.float() / 255 - originals, p.segments, self.occupied,
            Choice(p.least_share, p.like_colours, p.own_share, p.least_likely),
            self.guesses if p.guesses > 0 else None,
        )  # fmt: skip
        edited.put_all(originals + changes)
        if changes.abs().max() < UNCHANGED:
            self.job.progress(0, p.steps, text=NOTHING_CHANGED)


def told_cameras(edited: EditedViews, prior: InstructPrior, params: Params) -> Tensor | None:
    """[views, CAMERA_DIM] what a prior that takes a camera is told; None: nothing."""
    position = edited.cameras.positions
    radius = position.norm(dim=-1)
    alike = (radius / OWN_RADIUS - 1).abs().max() < 0.1 and (edited.cameras.fov_deg - OWN_FOV_DEG).abs().max() < 4
    takes = prior.camera_conditioned
    if params.tell_camera == "no" or not takes or (params.tell_camera == "auto" and not alike):
        return None
    azimuth_deg = torch.rad2deg(torch.atan2(position[:, 1], position[:, 0]))
    elevation_deg = torch.rad2deg(torch.asin((position[:, 2] / radius).clamp(-1, 1)))
    return camera_embedding(azimuth_deg, elevation_deg).to(prior.device)


def edit_preview(job: Job, editor: Editor, params: Params) -> None:
    """`edit_preview.png`: one view edited with each pair of guidance scales, text guidance rising to the right."""
    image_scales, text_scales = params.preview_scales
    if not image_scales or not text_scales:
        return
    own = editor.seeds
    path = job.out / "edit_preview.png"
    view = editor.edited.views // 2
    rows = []
    for image_scale in image_scales:
        row = [editor.edited.original(view)]
        for text_scale in text_scales:
            editor.seeds = Seeds(params.seed)  # the same noise in all, and none taken from the loop's
            row.append(editor.edit(view, from_render=False, scales=(image_scale, text_scale)))
        rows.append([image[0].movedim(0, -1).cpu().numpy() for image in row])
    editor.seeds = own
    write_png(path, contact_sheet(rows))
    job.progress(0, params.steps, preview=path, text=f"image guidance {image_scales} down, text {text_scales} across")
