import json

from stages.contract.curves import MOST_POINTS, LossCurve


def filled(total, steps):
    curve = LossCurve()
    for step in steps:
        curve.take(step, total, float(step))
    return curve


def test_short_curves_keep_every_step():
    assert filled(3, [1, 2, 3]).points() == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 2.0},
        {"step": 3, "loss": 3.0},
    ]
    assert LossCurve().points() == []


def test_long_curves_are_means_over_equal_stretches():
    points = filled(1000, range(1, 1001)).points()
    assert len(points) == MOST_POINTS
    assert points[0] == {"step": 5, "loss": 3.0} and points[-1] == {"step": 1000, "loss": 998.0}
    assert filled(1001, range(1, 1002)).points()[-1]["step"] == 1001


def test_a_resumed_curve_is_that_of_an_uninterrupted_run():
    whole = filled(1000, range(1, 1001))
    curve = filled(1000, range(1, 504))
    curve = LossCurve.from_state(json.loads(json.dumps(curve.state())))
    for step in range(490, 1001):  # the checkpoint was a little older than what was noted
        curve.take(step, 1000, float(step))
    assert curve == whole


def test_another_loop_begins_a_new_curve():
    curve = filled(5, range(1, 6))
    curve.take(1, 3, 9.0)
    assert curve.points() == [{"step": 1, "loss": 9.0}]
