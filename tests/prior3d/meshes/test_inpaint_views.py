"""A texture while an inpainting prior fills it: what is known stays, what is not is painted, the rest is guessed."""

import numpy as np
import pytest
import torch

from prior3d.cameras import Orbit
from prior3d.dataset_update.inpaint_views import TextureState, ViewInpainter, finished_texture, initial_state
from prior3d.diffusion.inpainting import InpaintingPrior
from prior3d.meshes.painting import Surface
from prior3d.meshes.placement import Placement
from prior3d.meshes.projection import INPAINTED, PROJECTED, UNKNOWN, PartialTexture, surface_texels
from prior3d.meshes.uv import UvMesh
from prior3d.seeds import Seeds
from prior3d.settings.distillation import PromptSettings
from prior3d.settings.inpainting import InpaintViewSettings

RED, GREEN = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
HERE = Placement(((1.0, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0.0, 0.0), 1.0)
CORNERS = np.array([[0, -0.8, -0.8], [0, 0.8, -0.8], [0, 0.8, 0.8], [0, -0.8, 0.8]], float)  # a square that faces +x
FACES = np.array([[0, 1, 2], [0, 2, 3]])
SQUARE = UvMesh(CORNERS, FACES, np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]), FACES, HERE)
FRONT = Orbit(torch.zeros(1), torch.zeros(1), torch.full((1,), 3.2), torch.full((1,), 40.0))


class Greener(InpaintingPrior):
    """Fills every hole with green."""

    device, camera_conditioned, image_size = torch.device("cpu"), False, 48

    def __init__(self):
        self.asked = []

    def inpaint(self, images, masks, prompts, settings, camera=None, *, generator):
        self.asked.append((masks, prompts, settings))
        return torch.where(masks > 0.5, GREEN[None, :, None, None], images)


def half_known(resolution=16):
    """The texels of the square, of which those with y < 0 are known to be red."""
    texels = surface_texels(SQUARE, resolution)
    known = texels.positions[:, 1] < 0
    colours = torch.where(known[:, None], RED, torch.zeros(3))
    source = torch.where(known, PROJECTED, UNKNOWN).to(torch.uint8)
    paint = PartialTexture(texels.to_texture(colours), texels.to_texture(known.float()), texels.to_texture(source))
    return texels, known, paint


def test_what_is_not_known_has_the_base_or_the_nearest_known_colour():
    texels, known, paint = half_known()
    nearest = initial_state(texels, paint, None, image_weight=4.0)
    assert torch.equal(nearest.visible, RED.expand(len(known), 3))
    assert nearest.confidence[known].unique().tolist() == [4.0] and nearest.known_fraction == known.float().mean()
    with_base = initial_state(texels, paint, torch.full((16, 16, 3), 0.25), image_weight=4.0)
    assert torch.equal(with_base.visible[~known], torch.full((int((~known).sum()), 3), 0.25))
    with_base.fill_unknown(texels)
    assert torch.equal(with_base.colours, RED.expand(len(known), 3)) and (with_base.confidence[~known] == 0).all()


def inpainter_of(texels, paint, **settings):
    how = InpaintViewSettings(seam_steps=0, **settings)
    state = initial_state(texels, paint, None, how.image_weight)
    prompting = PromptSettings(view_words=False)
    return ViewInpainter(Greener(), "a square", Surface(SQUARE, "cpu"), texels, state, Seeds(0), prompting, how)


def test_a_hole_is_filled_once_and_what_is_known_stays():
    texels, known, paint = half_known()
    inpainter = inpainter_of(texels, paint)
    filled = inpainter.fill(FRONT)
    masks, prompts, settings = inpainter.prior.asked[0]
    assert prompts == [f"a square, {inpainter.background.name} background"] and not settings.keep_known
    assert torch.equal(masks[0, 0] > 0.5, filled.hole)
    state = inpainter.state
    painted = state.source == INPAINTED
    deep = texels.positions[:, 1] > 0.1  # beside the seam bilinear lookup mixes both
    assert painted[deep & (texels.positions.abs().amax(-1) < 0.7)].all() and not painted[known].any()
    assert torch.allclose(state.colours[painted & deep], GREEN.expand(int((painted & deep).sum()), 3), atol=1e-5)
    assert torch.equal(state.colours[known], RED.expand(int(known.sum()), 3))
    assert state.confidence[painted].max() <= 1 < 4 == state.confidence[known].min()
    assert inpainter.fill(FRONT) is None, "the view has shown all it can show"
    texture = finished_texture(texels, state, image_weight=4.0)
    assert texels.from_texture(texture.confidence)[known].unique().tolist() == [1.0]


@pytest.mark.parametrize(("ratio", "again"), [(0.5, True), (0.0, False)])
def test_a_texel_is_repainted_where_a_view_knows_it_better(ratio, again):
    texels, known, paint = half_known()
    inpainter = inpainter_of(texels, paint, repaint_ratio=ratio, min_hole_fraction=0.0, image_weight=0.1)
    inpainter.state.confidence = inpainter.state.confidence.where(known, 0.1)  # all known, from a slant
    assert (inpainter.fill(FRONT) is not None) == again


def test_a_checkpoint_brings_everything_back():
    texels, _, paint = half_known()
    first, second = inpainter_of(texels, paint), inpainter_of(texels, paint)
    filled = [first.fill(FRONT)]
    restored = second.restore(first.checkpoint(filled), 1)
    for name, value in vars(first.state).items():
        assert torch.equal(value, getattr(second.state, name)), name
    assert all(torch.equal(value, getattr(restored[0], name)) for name, value in vars(filled[0]).items())
    assert isinstance(second.state, TextureState)
