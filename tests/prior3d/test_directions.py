import numpy as np
import pytest

from prior3d.directions import spread_directions


def test_directions_are_unit_vectors_that_balance():
    directions = spread_directions(400)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1)
    assert np.abs(directions.mean(axis=0)).max() < 0.01
    assert directions.T @ directions / 400 == pytest.approx(np.eye(3) / 3, abs=0.01)


def test_a_start_turns_them_about_z():
    cosine, sine = np.cos(0.7), np.sin(0.7)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    assert spread_directions(9, start=0.7) == pytest.approx(spread_directions(9) @ turn.T)
