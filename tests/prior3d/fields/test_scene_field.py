import math

import pytest
import torch

from prior3d.cameras import spherical_harmonics
from prior3d.fields.scene_field import (
    DENSITY_SCALE,
    SceneField,
    SceneFieldConfig,
    contract,
    grid_total_variation,
)


def test_contraction_by_hand():
    points = torch.tensor([[0.5, -1.0, 0.2], [4.0, 2.0, -1.0], [0.0, -1e9, 0.0]])
    # 4: (2 - 1/4) / 4 = 0.4375 times (4, 2, -1)
    expected = torch.tensor([[0.5, -1.0, 0.2], [1.75, 0.875, -0.4375], [0.0, -2.0, 0.0]])
    assert torch.allclose(contract(points), expected)


def test_spherical_harmonics_are_orthogonal_over_the_sphere():
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(200_000, 3, generator=generator), dim=-1)
    values = spherical_harmonics(directions, 2)
    gram = values.T @ values / len(values)
    assert (gram - torch.diag(gram.diag())).abs().max() < 0.01
    assert spherical_harmonics(directions[:5], 1).shape == (5, 4)


def test_values_at_nodes_and_between():
    field = SceneField(SceneFieldConfig(resolution=3, sh_degree=0))
    with torch.no_grad():
        field.density_logits[:] = -30.0
        field.density_logits[field.rows[13]] = 2.0  # the middle node, at the origin
        field.colours[:] = 1.0
    places = torch.tensor([[0.0, 0, 0], [1.0, 1, 1], [0.5, 0, 0]])
    density, colours = field(places)
    assert density[0].item() == pytest.approx(DENSITY_SCALE * math.log1p(math.exp(2.0)), rel=1e-5)
    assert density[1].item() == pytest.approx(0, abs=1e-6)
    assert density[2].item() == pytest.approx(DENSITY_SCALE * math.log1p(math.exp(-14.0)), rel=1e-3)
    assert colours[0].tolist() == pytest.approx([1 / (1 + math.exp(-1))] * 3)


def test_refining_keeps_the_content_and_drops_what_was_not_seen():
    generator = torch.Generator().manual_seed(0)
    field = SceneField(SceneFieldConfig(resolution=9, sh_degree=1))
    with torch.no_grad():
        field.density_logits[1:] = torch.randn(field.density_logits[1:].shape, generator=generator)
        field.colours[1:] = torch.randn(field.colours[1:].shape, generator=generator)
        field.sky.fill_(0.3)
    point = torch.tensor([[0.1, 0.1, 0.1]])
    field.seen[field.cells(point)] = 0.5
    finer = field.upsample(17, 0.02)
    assert torch.allclose(finer(point)[0], field(point)[0], rtol=1e-4)
    assert torch.allclose(finer(point)[1], field(point)[1], rtol=1e-4)
    assert torch.equal(finer.sky, field.sky)
    # the cell and its 26 neighbours, each cut into 8: 6 x 6 x 6 cells have 7 x 7 x 7 nodes
    assert len(finer.density_logits) == 7**3 + 1
    assert finer.density(torch.tensor([[-0.9, -0.9, -0.9]])).item() < 0.01


def test_nodes_that_are_not_kept_do_not_learn():
    rows = torch.zeros(27, dtype=torch.int64)
    rows[13] = 1
    field = SceneField(SceneFieldConfig(resolution=3), rows)
    density, colours = field(torch.tensor([[0.5, 0.5, 0.5]]))
    (density.sum() + colours.sum()).backward()
    assert field.density_logits.grad[0].item() == 0 and field.density_logits.grad[1].item() != 0
    assert (field.colours.grad[0] == 0).all() and (field.colours.grad[1] != 0).any()


def test_roughness_by_hand():
    field = SceneField(SceneFieldConfig(resolution=2, sh_degree=0))
    with torch.no_grad():
        field.density_logits[field.rows[0]] = -4.0  # its three neighbours have -5
        field.colours[field.rows[0]] = 2.0  # they have 0
    kept = field.active_nodes()
    assert kept.tolist() == [0]
    # three neighbours: 0.1 * 1 + 2^2
    assert grid_total_variation(field, kept, torch.Generator(), 64).item() == pytest.approx(3 * (0.1 + 4.0))
