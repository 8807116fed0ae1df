"""Parts of dataset_update: the losses of its variants, and whose turn it is to be edited."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from prior3d.dataset_update.edited_images import resized
from prior3d.diffusion.latent_diffusion import Conditioning
from prior3d.diffusion.perceptual import load_perceptual
from prior3d.distillation.sds import sds_weight
from prior3d.fields.scene_field import grid_total_variation
from prior3d.rendering import rays
from prior3d.rendering.scene import render_scene_rays
from prior3d.seeds import Seeds
from stages.dataset_update import Params
from stages.picture_editor import Editor


def fitting_losses(editor: Editor, params: Params, seeds: Seeds) -> Callable[[int], dict[str, Tensor]]:
    """L1 of random pixels of the dataset, which is updated on the way."""
    field, edited = editor.field, editor.edited
    local_origins, local_directions = rays(edited.cameras)
    origins, directions = local_origins.reshape(-1, 3), local_directions.reshape(-1, 3)
    n_pixels = edited.cameras.height * edited.cameras.width
    kept, perceptual = field.active_nodes(), patch_loss(editor, params, seeds)
    start = editor.before.colours if params.smooth_change else None

    def terms(step: int) -> dict[str, Tensor]:
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
            "smoothness": params.smoothness_weight
            * grid_total_variation(field, kept, seeds.generator("nodes"), start=start),
        }
        if perceptual is not None:
            found["perceptual"] = params.perceptual_weight * perceptual()
        return found

    return terms


def update(editor: Editor, params: Params, step: int) -> None:
    """Edit the pictures whose turn it is.

    iterative: in their order, over and over; or, if they must agree, all of them as often as each would have its turn.
    Other variants: all of them before the first step.
    """
    edited, iterative = editor.edited, params.variant == "iterative"
    if step == 0 and params.relevance_threshold > 0:
        editor.find_region()
    n_edits, rest = divmod(step, params.edit_every)
    chosen: list[int] = []
    if iterative and not params.consensus:
        chosen = [n_edits % edited.views] if rest == 0 else []
    elif step == 0 or (iterative and rest == 0 and n_edits % edited.views == 0):
        chosen = list(range(edited.views))
    share = params.kept_share if n_edits >= edited.views else 0.0
    for view in chosen:
        picture = editor.edit(view, from_render=iterative, progress=step / params.steps)
        edited.put(view, share * edited.now(view) + (1 - share) * picture)
    if chosen and params.consensus:
        editor.agree()


def patch_loss(editor: Editor, params: Params, seeds: Seeds) -> Callable[[], Tensor] | None:
    """LPIPS of a random patch of a random picture; None at weight 0."""
    if params.perceptual_weight == 0:
        return None
    distance = load_perceptual(Path(params.perceptual_weights), editor.field.rows.device)
    edited, field = editor.edited, editor.field
    side = min(params.patch, edited.cameras.height, edited.cameras.width)

    def loss() -> Tensor:
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


def sds_losses(editor: Editor, params: Params, seeds: Seeds) -> Callable[[int], dict[str, Tensor]]:
    """Score distillation with the instruct prior (the paper's comparison): no dataset, a view a step."""
    prior, field, edited = editor.prior, editor.field, editor.edited
    kept = field.active_nodes()
    start = editor.before.colours if params.smooth_change else None
    text, null_text = prior.embed([editor.instruction]), prior.embed([""])
    height, width = editor.size

    def terms(step: int) -> dict[str, Tensor]:
        if step == 0 and params.relevance_threshold > 0:
            editor.find_region()
        view = int(torch.randint(edited.views, (), generator=seeds.generator("views")))
        origins, directions = (part.reshape(-1, 3) for part in rays(edited.cameras[view].resized(height, width)))
        seen = render_scene_rays(
            field, origins, directions, params.segments, params.samples_per_segment, editor.occupied,
            seeds.generator("samples"), torch.full_like(origins, params.background),
        )  # fmt: skip
        latents = prior.encode(seen.colours.view(1, height, width, 3).movedim(-1, 1))
        low, high = (round(share * (prior.n_timesteps - 1)) for share in params.noise_range)
        at = torch.randint(low, high + 1, (1,), generator=seeds.generator("levels")).to(latents.device)
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(latents)
        camera = None if editor.cameras is None else editor.cameras[view : view + 1]
        with torch.no_grad():
            condition = prior.condition(resized(edited.original(view), editor.size))
            noisy = prior.add_noise(latents, noise, at)
            asked = Conditioning(text, null_text, params.guidance_scale, camera)
            predicted = prior.predict(noisy, at, asked, condition, params.image_guidance_scale)
            weight = sds_weight(prior.alphas_cumprod[at], "one_minus_alpha").view(-1, 1, 1, 1)
            target = latents - weight * (predicted - noise)
        rough = grid_total_variation(field, kept, seeds.generator("nodes"), start=start)
        return {"sds": 0.5 * (latents - target).square().mean(), "smoothness": params.smoothness_weight * rough}

    return terms
