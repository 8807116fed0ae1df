"""Timesteps of samplers and trainings."""

import pytest
import torch

from prior3d.diffusion.scheduling import (
    descending_timesteps,
    instruct_timesteps,
    stratified_timesteps,
    timestep_of_strength,
)
from prior3d.errors import Prior3dError


def test_descending_timesteps():
    assert descending_timesteps(400, 4) == [400, 300, 200, 100]
    for n_steps in (0, 11):
        with pytest.raises(Prior3dError, match="do not fit below timestep 10"):
            descending_timesteps(10, n_steps)


def test_timesteps_of_instruct_nerf2nerf():
    """T = 980 of 20 steps begins at 19 * 49 + 1, as the scheduler of the authors' code has it."""
    steps = instruct_timesteps(980, 20)
    assert steps[0] == 932 and steps[-2:] == [50, 1] and len(steps) == 20
    assert instruct_timesteps(20, 20) == list(range(20, 0, -1))
    with pytest.raises(Prior3dError, match="20 inference steps do not fit below timestep 19"):
        instruct_timesteps(19, 20)


def test_the_timestep_of_a_strength():
    assert [timestep_of_strength(s, 1000) for s in (0.0, 0.0004, 0.6, 1.0)] == [1, 1, 600, 999]


def test_one_timestep_from_each_stratum():
    ascending = stratified_timesteps(8, 1000, torch.Generator().manual_seed(0))
    assert (ascending // 125).tolist() == list(range(8))
    shuffled = stratified_timesteps(8, 1000, torch.Generator().manual_seed(0), shuffled=True)
    assert sorted((shuffled // 125).tolist()) == list(range(8)) and shuffled.tolist() != sorted(shuffled.tolist())
    noisier = stratified_timesteps(8, 1000, torch.Generator().manual_seed(0), power=0.5)
    assert (noisier >= ascending).all() and noisier.sum() > ascending.sum() and noisier.max() <= 999


def test_draws_come_in_a_fixed_order():
    """Trainings are repeatable: first the order of the strata, then the places in them."""
    generator = torch.Generator().manual_seed(5)
    strata, place = torch.randperm(4, generator=generator), torch.rand(4, generator=generator)
    found = stratified_timesteps(4, 1000, torch.Generator().manual_seed(5), shuffled=True)
    assert torch.equal(found, ((strata + place) / 4 * 1000).long())
