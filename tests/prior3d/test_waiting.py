"""Nothing in a step makes a GPU stop: steps run on the `meta` device, which refuses to be read.

`meta` tensors have shapes and no values. Reading one (`.item()`, `bool`, `.cpu()`, `nonzero`) raises, as a call that
synchronises does in CUDA's debug mode; copies towards it that would block are counted here.
"""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from prior3d.cameras import orbit_cameras, ring
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.distillation.backgrounds import LatentBackdrop, LearnedBackground, rgb_backdrop
from prior3d.distillation.losses import Distillation
from prior3d.distillation.view_sampler import ViewSampler
from prior3d.fields import DenseGrids, FieldConfig, ObjectField, TiledGrid
from prior3d.reconstruction.view_targets import ViewTargets, fit_losses
from prior3d.seeds import Seeds
from stages import coarse_nerf, rgb_refinement
from stages.coarse_nerf.stage import distillation_losses
from stages.contract.parameters import check_params, merged
from stages.rgb_refinement.stage import regularisers, sds_losses
from tests.tiny_prior import write_tiny_prior

META = torch.device("meta")


class BlockingCopies(TorchDispatchMode):
    """Counts copies from the CPU to `meta` for which a GPU would have to stop, by the operation that made them."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default:
            leaves = args[0].device.type == "cpu" and kwargs.get("device", torch.device("cpu")).type == "meta"
            if leaves and not kwargs.get("non_blocking", False):
                self.found.append(tuple(args[0].shape))
        into = func is torch.ops.aten.copy_.default and args[0].device.type == "meta" and args[1].device.type == "cpu"
        if into and args[1].dim() and not (len(args) > 2 and args[2]):
            self.found.append(tuple(args[1].shape))
        if func is torch.ops.aten.index.Tensor and args[0].device.type == "meta":
            self.found += [tuple(i.shape) for i in args[1] if i is not None and i.device.type == "cpu"]
        return func(*args, **kwargs)


class FakeSeeds(Seeds):
    """`meta` has no generators: what would be drawn there is drawn on the CPU, and its copy is let pass."""

    def generator(self, name, device="cpu"):
        return super().generator(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p", camera=True)


@pytest.fixture
def prior(folder):
    """Its prompts are embedded before the networks go to `meta`."""
    prior = load_text_to_image(folder, torch.device("cpu"))
    prior.embed(["a red ball", *(f"a red ball, {view} view" for view in ("front", "side", "back", "overhead")), ""])
    embeddings = prior.diffusion.prompts._embeddings
    prior.diffusion.prompts._embeddings = {text: found.to(META) for text, found in embeddings.items()}
    for network in (prior.diffusion.unet, prior.diffusion.vae):
        network.to(META)
    prior.diffusion.device = META
    schedule = prior.diffusion.schedule
    prior.diffusion.schedule = replace(schedule, signal=schedule.signal.to(META), noise=schedule.noise.to(META))
    return prior


def one_step(losses):
    """Forward and backward; the copies that would block."""
    with BlockingCopies() as copies:
        total = torch.stack(list(losses(3).values())).sum()
        total.backward()
    assert total.device == META
    return copies.found


PAPER = {"n_samples": 64, "field": {"tiled_log2_entries": 8, "occupancy_resolution": 8, "occupied_samples": 8}}


@pytest.mark.parametrize("preset", ["paper", "toy"])
def test_coarse_nerf(prior, preset):
    changed = PAPER if preset == "paper" else {"prompting": {"name_background": False}}
    params = check_params(coarse_nerf.Params, merged(coarse_nerf.PRESETS[preset], changed), "coarse_nerf")
    named = params.background == "named"
    views = ViewSampler(prior, "a red ball", params.views, params.prompting, params.sds, named_backgrounds=named)
    encoding = TiledGrid(log2_entries=8) if preset == "paper" else DenseGrids((5, 9))
    n_placed = params.field.occupied_samples
    field = ObjectField(
        FieldConfig(encoding=encoding, occupancy_resolution=8 if n_placed else 0, occupied_samples=n_placed)
    ).to(META)
    backdrop = LatentBackdrop(prior, None if named else LearnedBackground(4).to(META))
    seeds = FakeSeeds(0)
    distil = Distillation(views, seeds, params.sds, "latent")
    assert one_step(distillation_losses([field], backdrop, distil, seeds, params, None)) == []


@pytest.mark.parametrize("background", ["named", "learned"])
def test_rgb_refinement(prior, background):
    changed = {"n_samples": 64, "sds": {"image_size": 16, "views_at_once": 0}, "prompting": {"name_background": False}}
    params = check_params(rgb_refinement.Params, merged(rgb_refinement.PRESETS["paper"], changed), "rgb_refinement")
    named = background == "named"
    views = ViewSampler(prior, "a red ball", params.views, params.prompting, params.sds, named_backgrounds=named)
    config = FieldConfig(
        encoding=TiledGrid(log2_entries=8), head="rgb", channels=3, occupancy_resolution=8, occupied_samples=8
    )
    field, seeds = ObjectField(config).to(META), FakeSeeds(0)
    toy = check_params(rgb_refinement.Params, {}, "rgb_refinement")  # with smoothness and distortion
    backdrop = rgb_backdrop(background, seeds, META)
    losses = sds_losses(field, backdrop, views, seeds, params, regularisers(field, seeds, toy))
    assert one_step(losses) == []


def test_fits_to_views():
    """image_nerf's, rgb_refinement's and view_fit's rays of images."""
    targets = ViewTargets(orbit_cameras(ring(3), 8, 8)).to(META)
    field = ObjectField(FieldConfig(encoding=DenseGrids((5, 9)), head="rgb", channels=3)).to(META)
    seeds = FakeSeeds(0)

    def losses(step):
        _, colour, mask = fit_losses(field, targets, 64, 12, seeds, "rays")
        return {"colour": colour, "mask": mask}

    assert one_step(losses) == []


def test_the_stand_in_catches_what_waits():
    values = torch.zeros(3, device=META)
    for waits in (lambda: values.sum().item(), lambda: bool(values.any()), values.cpu, values.nonzero, values.tolist):
        with pytest.raises((RuntimeError, NotImplementedError)):
            waits()
    with BlockingCopies() as copies:
        torch.zeros(2).to(META)
        torch.zeros(4).to(META, non_blocking=True)
        values[torch.tensor([0])]
        values.copy_(torch.zeros(3))
    assert copies.found == [(2,), (1,), (3,)]
