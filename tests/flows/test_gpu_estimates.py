"""Estimates of GPU memory against bytes counted by hooks, for steps at Stable Diffusion 1.5's size on `meta`."""

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

from flows.engine.gpu_estimate import OF_CUDA, PriorSizes, needed_bytes
from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.prompt_encoder import PromptEncoder
from prior3d.diffusion.scheduling import diffusion_schedule
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.backgrounds import LatentBackdrop, LearnedBackground, rgb_backdrop
from prior3d.distillation.losses import Distillation
from prior3d.distillation.view_sampler import ViewSampler
from prior3d.fields import ObjectField, grids
from prior3d.fields.start import field_config
from prior3d.fields.tiled import TiledLookup
from stages import coarse_nerf, rgb_refinement
from stages.coarse_nerf.stage import distillation_losses
from stages.contract.parameters import check_params, merged
from stages.rgb_refinement.stage import sds_losses
from tests.peak_memory import PeakBytes, attention_without_scores
from tests.prior3d.test_waiting import META, FakeSeeds

TEXT_ENCODER = 123_060_480
SD15 = PriorSizes(859_520_964 + 83_653_863 + TEXT_ENCODER, 64, 512, 320, 128)
WITHIN = 0.25


class Texts(PromptEncoder):
    """Prompts of 77 tokens."""

    def __init__(self):
        self.device = META

    def embed(self, prompts):
        return torch.empty(len(prompts), 77, 768, device=META)

    def unknown_words(self, prompt):
        return []

    def free(self):
        pass


@pytest.fixture(scope="module")
def prior():
    with META:
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512, **blocks
        )
    networks = [network.half().requires_grad_(False).eval() for network in (unet, vae)]
    schedule = diffusion_schedule(DDIMScheduler(), META)
    diffusion = LatentDiffusion(unet=networks[0], vae=networks[1], schedule=schedule, prompts=Texts())
    return TextToImagePrior(diffusion)


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    attention_without_scores(monkeypatch)
    monkeypatch.setattr(grids, "tiled_lookup", lambda points, tables, n: TiledLookup.apply(points, tuple(n), *tables))


def counted(prior, field, losses) -> int:
    """Networks, field with gradient and moments, and what a step holds at its most."""
    networks = (prior.diffusion.unet, prior.diffusion.vae)
    parameters = sum(p.numel() * p.element_size() for network in networks for p in network.parameters())
    with PeakBytes(*networks, field) as bytes_of_step:
        torch.stack(list(losses(3).values())).sum().backward()
    of_field = sum(p.numel() * 4 for p in field.parameters())
    return parameters + 2 * TEXT_ENCODER + bytes_of_step.peak + 3 * of_field


def estimated(prior, stage, params) -> int:
    of_networks = sum(p.numel() for n in (prior.diffusion.unet, prior.diffusion.vae) for p in n.parameters())
    assert of_networks + TEXT_ENCODER == SD15.parameters
    return needed_bytes(stage, params.model_dump(mode="json"), SD15) - OF_CUDA


def step_of_coarse_nerf(prior, field, params):
    """The losses of a step."""
    views = ViewSampler(prior, "a mug", params.views, params.prompting, params.sds, named_backgrounds=False)
    with META:
        learned = LearnedBackground(4)
    seeds = FakeSeeds(0)
    distil = Distillation(views, seeds, params.sds, "latent")
    return distillation_losses([field], LatentBackdrop(prior, learned), distil, seeds, params, None)


@pytest.mark.parametrize("n_views", [1, 4])
def test_coarse_nerf(prior, n_views):
    values = merged(coarse_nerf.PRESETS["paper"], {"views": {"per_step": n_views}, "precision": "float16"})
    params = check_params(coarse_nerf.Params, values, "coarse_nerf")
    with META:
        field = ObjectField(field_config(params.field, "latent", 4))
    losses = step_of_coarse_nerf(prior, field, params)
    found, said = counted(prior, field, losses), estimated(prior, "coarse_nerf", params)
    assert abs(said - found) <= WITHIN * found, f"estimated {said / 2**30:.2f} GiB, counted {found / 2**30:.2f}"


CASES = [(1, 0, 0), (1, 1, 128), pytest.param(2, 0, 0, marks=pytest.mark.slow),
         pytest.param(1, 1, 0, marks=pytest.mark.slow), pytest.param(2, 1, 256, marks=pytest.mark.slow),
         pytest.param(1, 0, 256, marks=pytest.mark.slow)]  # fmt: skip


@pytest.mark.parametrize(("n_views", "at_once", "size"), CASES)
def test_rgb_refinement(prior, n_views, at_once, size):
    changed = {"views": {"per_step": n_views}, "sds": {"views_at_once": at_once, "image_size": size}}
    changed["precision"] = "float16"
    params = check_params(rgb_refinement.Params, merged(rgb_refinement.PRESETS["paper"], changed), "rgb_refinement")
    of_field = check_params(coarse_nerf.Params, coarse_nerf.PRESETS["paper"], "coarse_nerf").field
    views = ViewSampler(prior, "a mug", params.views, params.prompting, params.sds, named_backgrounds=False)
    with META:
        field = ObjectField(field_config(of_field, "rgb", 3))
    backdrop, seeds = rgb_backdrop("learned", FakeSeeds(0), META), FakeSeeds(0)
    losses = sds_losses(field, backdrop, views, seeds, params, lambda *_: {})
    found, said = counted(prior, field, losses), estimated(prior, "rgb_refinement", params)
    if not at_once:
        prior.diffusion.vae.disable_gradient_checkpointing()
    assert abs(said - found) <= WITHIN * found, f"estimated {said / 2**30:.2f} GiB, counted {found / 2**30:.2f}"
