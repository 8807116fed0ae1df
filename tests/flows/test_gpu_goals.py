"""The paper preset on a GPU of 8 GB: what its stages need for Stable Diffusion 1.5, by arithmetic and by hooks."""

import pytest

from flows.engine.gpu_estimate import GIB, OF_CUDA, needed_bytes
from flows.engine.parameters import resolve
from flows.methods import METHODS
from prior3d.cameras import orbit_cameras, ring
from prior3d.distillation.backgrounds import rgb_backdrop
from prior3d.distillation.losses import Distillation
from prior3d.distillation.view_sampler import ViewSampler
from prior3d.fields import ObjectField
from prior3d.fields.start import field_config
from prior3d.losses.images import denoised_images
from prior3d.reconstruction.shading import surface_normals
from prior3d.rendering import over, render
from stages import coarse_nerf, image_nerf, rgb_refinement
from stages.contract.parameters import check_params
from tests.flows.test_gpu_estimates import META, SD15, FakeSeeds, as_on_a_gpu, counted, prior, step_of_coarse_nerf

__all__ = ["as_on_a_gpu", "prior"]  # fixtures
GOALS = {
    ("latent-nerf", "coarse_nerf"): 6,
    ("latent-nerf", "rgb_refinement"): 8,
    ("realfusion", "image_nerf"): 8,
    ("make-it-3d", "image_nerf"): 8,
}  # GiB
STAGES = {"coarse_nerf": coarse_nerf, "rgb_refinement": rgb_refinement, "image_nerf": image_nerf}


def params_of(method, stage):
    """Those of a run on a GPU, where networks are in 16 bits."""
    settings = resolve(METHODS[method], "paper", None, [], "float16")[stage]
    return check_params(STAGES[stage].Params, settings, stage)


@pytest.mark.parametrize(("method", "stage"), GOALS)
def test_by_arithmetic(method, stage):
    found = needed_bytes(stage, params_of(method, stage).model_dump(mode="json"), SD15) / GIB
    assert 1 < found <= GOALS[method, stage], f"{found:.1f} GiB"


def step_in_images(prior, method, stage, field):
    """A step of distillation of a view of RGB, with what else the stage asks of views and of the image."""
    params = params_of(method, stage)
    views = ViewSampler(prior, "a mug", params.views, params.prompting, params.sds, named_backgrounds=False)
    backdrop, seeds = rgb_backdrop("learned", FakeSeeds(0), META), FakeSeeds(0)
    distil = Distillation(views, seeds, params.sds, "image")

    def losses(step):
        seen = []

        def render_images(cameras, batch):
            rendering = render(field, cameras, params.n_samples, seeds.generator("samples", META))
            seen.append(surface_normals(field, rendering, cameras).mean())
            return over(rendering, backdrop(cameras, batch.backgrounds)).features.movedim(-1, 1)

        found = distil(render_images, 0.5)
        terms = {"sds": found.loss, "normals": seen[0]}
        if stage == "image_nerf":
            cameras = orbit_cameras(ring(1), 64, 64).to(META)  # as many rays as are drawn of the image
            assert params.reference.rays_per_step == 64**2
            terms["reference"] = render(
                field, cameras, params.n_samples, seeds.generator("samples", META)
            ).opacity.mean()
            if params.clip.denoised_weight > 0:
                asked = found.batch.conditioning
                terms["clip_d"] = denoised_images(found.latents, prior, asked, found.timesteps, found.noise).mean()
        return terms

    return losses


@pytest.mark.parametrize(("method", "stage"), GOALS)
def test_by_hooks(prior, method, stage):
    of_field = params_of(method, "image_nerf" if stage == "image_nerf" else "coarse_nerf").field
    with META:
        kind = ("latent", 4) if stage == "coarse_nerf" else ("rgb", 3)
        field = ObjectField(field_config(of_field, *kind))
    if stage == "coarse_nerf":
        losses = step_of_coarse_nerf(prior, field, params_of(method, stage))
    else:
        losses = step_in_images(prior, method, stage, field)
    found = (counted(prior, field, losses) + OF_CUDA) / GIB
    prior.diffusion.vae.disable_gradient_checkpointing()
    assert 1 < found <= GOALS[method, stage], f"{found:.1f} GiB"
