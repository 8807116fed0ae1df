"""What a scorer says of views: which of them it is asked about, and that its gradient reaches them."""

import pytest
import torch

from prior3d.cameras import Orbit, orbit_cameras
from prior3d.diffusion.guidance import Conditioning
from prior3d.distillation.clip_guidance import ClipGuidance
from prior3d.distillation.sds import Distilled
from prior3d.distillation.view_sampler import ViewBatch
from prior3d.errors import Prior3dError
from prior3d.images.object_image import Viewpoint
from stages.contract.job import Job
from stages.image_nerf import Params
from stages.image_nerf.stage import load_clip_guidance
from tests.known_priors import MeanColour, flat_prior

ALPHAS = torch.linspace(0.95, 0.05, 10)
RED, GREEN = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.0, 1, 0]])
AZIMUTHS = torch.tensor([350.0, 80.0, 170.0, 290.0])
ORBIT = Orbit(AZIMUTHS, torch.zeros(4), torch.full((4,), 3.2), torch.full((4,), 40.0))


def clip(text=None):
    return ClipGuidance(MeanColour(), RED, text, Viewpoint(10.0, 15.0, 40.0, 3.2))


def test_views_of_the_pictures_side_are_told_across_north():
    assert clip().same_side(ORBIT).tolist() == [True, True, False, True]  # 20, 70, 160 and 80 degrees away


def test_the_back_is_compared_with_the_words_alone():
    images = torch.zeros(4, 3, 2, 2)
    images[:, 0] = 1  # red
    images[2, 0], images[2, 1] = 0, 1  # the back is green
    assert clip().rendered_loss(images, ORBIT).item() == pytest.approx(0)
    # the front: 0 from the red image and 1 from the word; the back: 0 from the word
    assert clip(GREEN).rendered_loss(images, ORBIT).item() == pytest.approx(1)


def test_clip_d_looks_at_little_noise_and_no_back_and_moves_the_latents():
    latents = torch.full((4, 4, 2, 2), 0.5, requires_grad=True)
    timesteps = torch.tensor([2, 8, 1, 4])  # at most 4 count; the third is a back
    batch = ViewBatch(ORBIT, Conditioning(torch.zeros(4, 1, 1), torch.zeros(1, 1, 1), 1.0), None)
    noise, images = torch.zeros(4, 4, 2, 2), torch.zeros(4, 3, 2, 2)

    def distilled(timesteps):
        return Distilled(torch.zeros(()), batch, orbit_cameras(ORBIT, 2, 2), images, latents, timesteps, noise, latents)

    loss = clip().denoised_loss(flat_prior(ALPHAS), distilled(timesteps), 0.4)
    assert loss.item() == pytest.approx(1 - 3**-0.5)  # grey beside red
    loss.backward()
    moved = latents.grad.abs().sum((1, 2, 3)) > 0
    assert moved.tolist() == [True, False, False, True]
    nothing = clip().denoised_loss(flat_prior(ALPHAS), distilled(torch.full((4,), 9)), 0.4)
    assert nothing.item() == 0 and nothing.requires_grad


def test_a_weight_without_a_scorer_is_an_error_and_no_weight_needs_none(tmp_path):
    job = Job("image_nerf", tmp_path, {}, tmp_path)
    assert load_clip_guidance(job, Params(), None) is None
    with pytest.raises(Prior3dError, match="no scorer is given"):
        load_clip_guidance(job, Params(clip={"weight": 1.0}), None)
