"""Where an edit applies: two balls side by side, of which the images say that one is meant."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.dataset_update.relevance import EditRegion, top_value
from prior3d.dataset_update.scene_consensus import OneStepPredictions, aggregate_views, colour_cluster_mean
from prior3d.dataset_update.surfaces import CaptureSurfaces
from prior3d.fields.scene_field import EMPTY_LOGIT, SceneField, SceneFieldConfig
from prior3d.rendering.scene import gather_on_nodes, render_node_values, render_scene_view
from prior3d.settings.scene_edits import ConsensusSettings

SIZE, BINS = 20, 48
WHOLE = ConsensusSettings(relative_threshold=0.0)


@pytest.fixture(scope="module")
def balls():
    """Opaque balls at x = -0.45 and 0.45, and the nodes' x."""
    field = SceneField(SceneFieldConfig(resolution=21, sh_degree=0))
    axis = torch.linspace(-1, 1, 21)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    inside = torch.minimum((x - 0.45).square(), (x + 0.45).square()) + y.square() + z.square() < 0.35**2
    with torch.no_grad():
        field.density_logits[1:, 0] = torch.where(inside, 3.0, EMPTY_LOGIT).flatten()
    return field, x.flatten()


@pytest.fixture(scope="module")
def cameras():
    return orbit_cameras(ring(12, 25.0), SIZE, SIZE)


def ball(field, chosen, cameras):
    """[views, size, size, 1] how much each pixel shows of the chosen nodes."""
    values = torch.cat([torch.zeros(1, 1), chosen.float()[:, None]])
    return render_node_values(field, cameras, values, BINS)


def test_values_are_seen_as_colours_are(balls, cameras):
    """A value that is a colour's channel, rendered as a value and as a colour over black."""
    field, x = balls
    with torch.no_grad():
        field.colours[1:, 0] = torch.where(x > 0, 20.0, -20.0)
    colours, opacity, _ = render_scene_view(field, cameras, BINS, None, 0.0)
    values = ball(field, x > 0, cameras)
    assert torch.allclose(values[..., 0], colours[..., 0], atol=0.02)
    everywhere = render_node_values(field, cameras, torch.ones(len(x) + 1, 1), BINS)
    assert torch.allclose(everywhere[..., 0], opacity, atol=1e-4)


def test_nodes_gather_what_the_pixels_that_see_them_show(balls, cameras):
    field, x = balls
    maps = torch.full((12, SIZE, SIZE, 1), 0.7)
    values, weights = gather_on_nodes(field, cameras, maps, BINS)
    assert torch.allclose(values[weights > 1e-3], torch.tensor(0.7), atol=1e-4)
    assert weights[0] == 0 and (values[weights == 0] == 0).all()
    middle = (x.view(21, 21, 21)[10, 10] + 0.4).abs().argmin()  # inside of a ball: nothing sees it
    assert weights[1:].view(21, 21, 21)[10, 10, middle] < 1e-3


def test_views_that_disagree_are_outvoted(balls, cameras):
    """One image calls the whole of it relevant; the eleven others only the right ball."""
    field, x = balls
    right = ball(field, x > 0, cameras).movedim(-1, 1)
    left = ball(field, x < 0, cameras).movedim(-1, 1)
    relevance = right.clone()
    relevance[2] = 1.0
    region = EditRegion(len(field.density_logits), 12, SIZE, SIZE)
    assert (region.of(0) == 1).all() and (region.nodes == 1).all()
    region.restrict(CaptureSurfaces(field, cameras, BINS), relevance, 0.5)
    assert 0.3 < region.fraction < 0.6
    seen = region.nodes[1:, 0] > 0.5
    assert (x[seen] > 0).float().mean() > 0.95 and seen.sum() > 50
    for view in range(12):
        sure = right[view, 0] > 0.95
        assert region.of(view)[0, 0][sure].mean() > 0.9
        assert region.of(view)[0, 0][left[view, 0] > 0.95].mean() < 0.1


def test_a_scene_without_a_surface_is_edited_everywhere(cameras):
    field = SceneField(SceneFieldConfig(resolution=9, sh_degree=0))
    with torch.no_grad():
        field.density_logits[1:] = EMPTY_LOGIT
    region = EditRegion(len(field.density_logits), 12, SIZE, SIZE)
    region.restrict(CaptureSurfaces(field, cameras, 16), torch.rand(12, 1, SIZE, SIZE), 0.5)
    assert region.fraction == 0.0 and (region.nodes == 1).all()


def test_means_over_colour_clusters_by_hand():
    """Two reds are of one cell and share their mean, weighted 1 to 3; the blue is ten cells away and keeps its own."""
    colours = torch.tensor([[1.0, 0, 0], [0.98, 0, 0], [0, 0, 1.0]])
    found = colour_cluster_mean(torch.tensor([[4.0], [8.0], [1.0]]), torch.tensor([1.0, 3.0, 1.0]), colours, 0.1)
    assert found[:, 0].tolist() == pytest.approx([7.0, 7.0, 1.0], abs=1e-3)


def test_edits_become_those_of_one_scene(balls, cameras):
    """Noise that no two images share goes; a change of the right ball that all show stays, and only there."""
    field, x = balls
    right, left = (ball(field, chosen, cameras).movedim(-1, 1) for chosen in (x > 0, x < 0))
    originals = torch.cat([right, 1 - right - left, left], 1)  # red, blue, and a green background
    change = torch.tensor([-0.6, 0.6, 0.0]).view(1, 3, 1, 1) * right
    noise = 0.3 * torch.randn(change.shape, generator=torch.Generator().manual_seed(0))
    surfaces = CaptureSurfaces(field, cameras, BINS)
    plain = aggregate_views(surfaces, originals, change + noise, WHOLE)
    strong = ConsensusSettings(relative_threshold=0.5, colour_bandwidth=0.1, self_weight=0.0)
    chosen = aggregate_views(surfaces, originals, change + noise, strong)
    sure, other = right[:, 0] > 0.95, left[:, 0] > 0.95
    for agreed in (plain, chosen):
        assert (agreed - change).movedim(1, -1)[sure].square().mean() < 0.25 * 0.3**2
        assert agreed.movedim(1, -1)[(right + left)[:, 0] == 0].abs().max() < 0.01
    assert plain.movedim(1, -1)[other].abs().max() > 0.05
    assert chosen.movedim(1, -1)[other].abs().max() < 0.02


def test_the_top_value_is_no_outlier():
    """One per cent of the weight is at 9, the rest at 1 to 3: a twentieth from the top is 3."""
    values, weights = torch.tensor([1.0, 9.0, 3.0, 2.0]), torch.tensor([0.5, 0.01, 0.2, 0.29])
    assert top_value(values, weights) == 3.0
    assert top_value(values, torch.tensor([0.5, 0.06, 0.2, 0.24])) == 9.0
    assert top_value(values, torch.zeros(4)) == 0.0 and top_value(values[:0], weights[:0]) == 0.0


@pytest.mark.parametrize(("faint", "right_changes"), [(0.7, True), (0.2, False)])
def test_one_step_predictions_tell_where(balls, cameras, faint, right_changes):
    """Whole edits paint both balls; answers in one step change the right one by a part of that, the left hardly."""
    field, x = balls
    right, left = (ball(field, chosen, cameras).movedim(-1, 1) for chosen in (x > 0, x < 0))
    originals = torch.cat([right, 1 - right - left, left], 1)
    paint = torch.tensor([-0.6, 0.6, 0.0]).view(1, 3, 1, 1)
    whole = paint * right + 0.8 * paint * left
    answers = faint * paint * right + 0.1 * paint * left
    surfaces, predictions = CaptureSurfaces(field, cameras, BINS), OneStepPredictions(len(field.density_logits))
    predictions.gather(surfaces, answers, answers.square().sum(1, keepdim=True))
    settings = ConsensusSettings(relative_threshold=0.6, self_weight=0.3, min_change_ratio=0.4)
    unsure = aggregate_views(surfaces, originals, whole, settings)
    agreed = aggregate_views(surfaces, originals, whole, settings, predictions)
    on_right, on_left = (
        [change.movedim(1, -1)[side[:, 0] > 0.95].abs().amax(-1).mean().item() for change in (unsure, agreed)]
        for side in (right, left)
    )
    assert on_left[0] > 0.3 and on_left[1] < 0.02
    assert on_right[0] > 0.5 and (on_right[1] > 0.5 if right_changes else on_right[1] < 0.05)
