"""Parts of dataset_update: the editor of single pictures, the preview grid, and the losses of its variants."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from stages.job import Job

if TYPE_CHECKING:
    from torch import Tensor

    from prior3d.fields.scene_field import SceneField
    from prior3d.priors.instruct import InstructPrior
    from prior3d.scenes.edited import EditedViews
    from prior3d.seeds import Seeds
    from stages.dataset_update import Params

OWN_RADIUS, OWN_FOV_DEG = 3.2, 40.0  # where a camera must stand for its azimuth to mean something to a toy prior
MULTIPLE = 16  # sides that every autoencoder and network here can halve


class Editor:
    """Edits pictures of one scene by one instruction."""

    def __init__(
        self,
        job: Job,
        prior: "InstructPrior",
        field: "SceneField",
        edited: "EditedViews",
        params: "Params",
        seeds: "Seeds",
    ) -> None:
        """Say what the prior has no words for."""
        from prior3d.rendering.scene import occupied_cells
        from prior3d.scenes.edited import prior_size
        from stages.locations import embedded_names

        self.prior, self.field, self.edited, self.params, self.seeds = prior, field, edited, params, seeds
        self.instruction = job.inputs["instruction"].read_text(encoding="utf-8").strip()
        self.occupied = occupied_cells(field)
        height, width = edited.cameras.height, edited.cameras.width
        own = prior.diffusion.image_size
        embedded = job.prior().name in embedded_names()
        shorter = params.edit_size or (own if embedded else min(height, width) // MULTIPLE * MULTIPLE)
        self.size = prior_size(height, width, shorter, MULTIPLE)
        self.cameras = told_cameras(edited, prior, params)
        unknown = prior.diffusion.unknown_words(self.instruction)
        job.metric("unknown_words", len(unknown), "words", higher_is_better=False)
        if unknown:
            job.progress(0, params.steps, text=f"warning: this prior does not know: {', '.join(unknown)}")

    def render(self, view: int) -> "Tensor":
        """[1, 3, height, width] the field as it is now, over the background."""
        return self.render_many(self.field, self.edited, [view], self.params.background, self.params.segments)

    @staticmethod
    def render_many(
        field: "SceneField", edited: "EditedViews", chosen: list[int], level: float, segments: int = 64
    ) -> "Tensor":
        """[chosen, 3, height, width] in [0, 1]."""
        import torch

        from prior3d.rendering.scene import occupied_cells, render_scene_view

        cameras = edited.cameras[torch.tensor(chosen)].to(field.rows.device)
        pictures, _, _ = render_scene_view(field, cameras, segments, occupied_cells(field), level)
        return pictures.movedim(-1, 1).clamp(0, 1)

    def edit(self, view: int, *, from_render: bool, scales: tuple[float, float] | None = None) -> "Tensor":
        """[1, 3, height, width] a picture edited: from the render at a random noise level, or from pure noise.

        Args:
            view: which.
            from_render: else from the photograph, at the highest level.
            scales: image and text guidance, in the place of the parameters'.
        """
        import torch

        from prior3d.priors.instruct import instruct_timesteps
        from prior3d.scenes.edited import resized, transferred

        p, prior = self.params, self.prior
        image_scale, text_scale = scales or (p.image_guidance_scale, p.guidance_scale)
        n_levels = prior.diffusion.n_timesteps
        low, high = p.noise_range
        share = (
            low + (high - low) * float(torch.rand((), generator=self.seeds.generator("levels")))
            if from_render
            else high
        )
        original = self.edited.original(view)
        small = resized(original, self.size)
        now = resized(self.render(view), self.size) if from_render else small
        made = prior.edit(
            now,
            small,
            [self.instruction],
            None if self.cameras is None else self.cameras[view : view + 1],
            image_guidance_scale=image_scale,
            guidance_scale=text_scale,
            timesteps=instruct_timesteps(max(p.denoising_steps, round(share * n_levels)), p.denoising_steps),
            generator=self.seeds.generator("noise"),
        )
        if not p.transfer:
            return resized(made, (original.shape[2], original.shape[3]))
        with torch.no_grad():
            unedited = prior.diffusion.decode(prior.diffusion.encode(small))
        return transferred(original, made, unedited, p.least_change)


def told_cameras(edited: "EditedViews", prior: "InstructPrior", params: "Params") -> "Tensor | None":
    """[views, CAMERA_DIM] what a prior that takes a camera is told; None: nothing."""
    import torch

    from prior3d.priors.camera_embedding import camera_embedding

    position = edited.cameras.positions
    radius = position.norm(dim=-1)
    alike = (radius / OWN_RADIUS - 1).abs().max() < 0.1 and (edited.cameras.fov_deg - OWN_FOV_DEG).abs().max() < 4
    takes = prior.diffusion.camera_conditioned
    if params.tell_camera == "no" or not takes or (params.tell_camera == "auto" and not alike):
        return None
    azimuth_deg = torch.rad2deg(torch.atan2(position[:, 1], position[:, 0]))
    elevation_deg = torch.rad2deg(torch.asin((position[:, 2] / radius).clamp(-1, 1)))
    return camera_embedding(azimuth_deg, elevation_deg).to(prior.diffusion.device)


def edit_preview(job: Job, editor: Editor, params: "Params") -> None:
    """`edit_preview.png`: one view edited with each pair of guidance scales, text guidance rising to the right."""
    from prior3d.images import contact_sheet, write_png
    from prior3d.seeds import Seeds

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


def fitting_losses(editor: Editor, params: "Params", seeds: "Seeds") -> "Callable[[int], dict[str, Tensor]]":
    """L1 of random pixels of the dataset, which is updated on the way."""
    import torch

    from prior3d.fields.scene_field import roughness
    from prior3d.rendering import rays
    from prior3d.rendering.scene import render_scene_rays

    field, edited = editor.field, editor.edited
    local_origins, local_directions = rays(edited.cameras)
    origins, directions = local_origins.reshape(-1, 3), local_directions.reshape(-1, 3)
    n_pixels = edited.cameras.height * edited.cameras.width
    kept, perceptual = field.kept_nodes(), patch_loss(editor, params, seeds)

    def terms(step: int) -> "dict[str, Tensor]":
        update(editor, params, step)
        place = torch.randint(len(origins), (params.rays_per_step,), generator=seeds.generator("rays"))
        place = place.to(origins.device)
        colours = edited.pixels.view(edited.views, 3, -1)[place // n_pixels, :, place % n_pixels].float() / 255
        seen = render_scene_rays(
            field, origins[place], directions[place], params.segments, params.samples_per_segment, editor.occupied,
            seeds.generator("samples"), torch.full_like(colours, params.background),
        )  # fmt: skip
        found = {
            "colour": (seen.colours - colours).abs().mean(),
            "smoothness": params.smoothness_weight * roughness(field, kept, seeds.generator("nodes")),
        }
        if perceptual is not None:
            found["perceptual"] = params.perceptual_weight * perceptual()
        return found

    return terms


def update(editor: Editor, params: "Params", step: int) -> None:
    """Edit the pictures whose turn it is: in their order, over and over; or all of them before the first step."""
    edited = editor.edited
    if params.variant == "iterative":
        if step % params.edit_every == 0:
            view = (step // params.edit_every) % edited.views
            edited.put(view, editor.edit(view, from_render=True))
    elif step == 0:
        for view in range(edited.views):
            edited.put(view, editor.edit(view, from_render=False))


def patch_loss(editor: Editor, params: "Params", seeds: "Seeds") -> "Callable[[], Tensor] | None":
    """LPIPS of a random patch of a random picture; None at weight 0."""
    from pathlib import Path

    import torch

    from prior3d.priors.perceptual import load_perceptual
    from prior3d.rendering import rays
    from prior3d.rendering.scene import render_scene_rays

    if params.perceptual_weight == 0:
        return None
    distance = load_perceptual(Path(params.perceptual_weights), editor.field.rows.device)
    edited, field = editor.edited, editor.field
    side = min(params.patch, edited.cameras.height, edited.cameras.width)

    def loss() -> "Tensor":
        def draw(limit: int) -> int:
            return int(torch.randint(limit, (), generator=seeds.generator("patches")))

        view = draw(edited.views)
        top, left = draw(edited.cameras.height - side + 1), draw(edited.cameras.width - side + 1)
        rows, columns = slice(top, top + side), slice(left, left + side)
        origins, directions = (part[0, rows, columns].reshape(-1, 3) for part in rays(edited.cameras[view]))
        behind = torch.full_like(origins, params.background)
        seen = render_scene_rays(
            field, origins, directions, params.segments, params.samples_per_segment, editor.occupied,
            seeds.generator("samples"), behind,
        )  # fmt: skip
        rendered = seen.colours.view(1, side, side, 3).movedim(-1, 1)
        return distance(rendered, edited.now(view)[:, :, rows, columns])

    return loss


def sds_losses(editor: Editor, params: "Params", seeds: "Seeds") -> "Callable[[int], dict[str, Tensor]]":
    """Score distillation with the instruct prior (the paper's comparison): no dataset, a view a step."""
    import torch

    from prior3d.distillation import sds_weight
    from prior3d.fields.scene_field import roughness
    from prior3d.rendering import rays
    from prior3d.rendering.scene import render_scene_rays
    from prior3d.scenes.edited import resized

    prior, field, edited = editor.prior, editor.field, editor.edited
    diffusion, kept = prior.diffusion, field.kept_nodes()
    text, null_text = diffusion.embed([editor.instruction]), diffusion.embed([""])
    height, width = editor.size

    def terms(step: int) -> "dict[str, Tensor]":
        view = int(torch.randint(edited.views, (), generator=seeds.generator("views")))
        origins, directions = (part.reshape(-1, 3) for part in rays(edited.cameras[view].resized(height, width)))
        seen = render_scene_rays(
            field, origins, directions, params.segments, params.samples_per_segment, editor.occupied,
            seeds.generator("samples"), torch.full_like(origins, params.background),
        )  # fmt: skip
        latents = diffusion.encode(seen.colours.view(1, height, width, 3).movedim(-1, 1))
        low, high = (round(share * (diffusion.n_timesteps - 1)) for share in params.noise_range)
        at = torch.randint(low, high + 1, (1,), generator=seeds.generator("levels")).to(latents.device)
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(latents)
        camera = None if editor.cameras is None else editor.cameras[view : view + 1]
        with torch.no_grad():
            condition = prior.condition(resized(edited.original(view), editor.size))
            noisy = diffusion.add_noise(latents, noise, at)
            predicted = prior.predict(
                noisy, at, text, null_text, condition, params.guidance_scale, params.image_guidance_scale, camera
            )
            weight = sds_weight(diffusion.alphas_cumprod[at], "one_minus_alpha").view(-1, 1, 1, 1)
            target = latents - weight * (predicted - noise)
        rough = roughness(field, kept, seeds.generator("nodes"))
        return {"sds": 0.5 * (latents - target).square().mean(), "smoothness": params.smoothness_weight * rough}

    return terms
