import math

import pytest

from assistant.confidence import calibrate, logit, raw_confidence, shares, sigmoid, threshold


def test_shares_divide_the_probability_among_the_options():
    assert shares([math.log(0.3), math.log(0.1)]) == pytest.approx([0.75, 0.25])
    assert shares([-2000.0, -2001.0]) == pytest.approx([sigmoid(1), sigmoid(-1)])
    assert shares([]) == []
    assert shares([-math.inf, -math.inf]) == [0.5, 0.5]


def test_a_text_is_as_sure_as_the_geometric_mean_of_its_tokens():
    assert raw_confidence([math.log(0.5), math.log(0.125)]) == pytest.approx(0.25)
    assert raw_confidence([]) == 0.0


def test_calibration_is_a_line_on_the_logit():
    numbers = {"closed_a": 0.5, "closed_b": -1.0, "open_a": 2.0}
    assert calibrate(0.8, "closed", numbers) == pytest.approx(sigmoid(0.5 * math.log(4) - 1))
    assert calibrate(0.8, "open", numbers) == pytest.approx(sigmoid(2 * math.log(4)))
    assert calibrate(0.8, "report", numbers) == 0.8


def test_certainty_stays_within_bounds():
    assert 0 < calibrate(0.0, "open", {"open_a": 1.0}) < 1e-5
    assert 1 - 1e-5 < calibrate(1.0, "open", {"open_b": 0.0}) < 1
    assert logit(sigmoid(3.0)) == pytest.approx(3.0)
    assert sigmoid(-800) == pytest.approx(0.0)


def test_an_override_goes_before_the_models_own_threshold():
    assert threshold("open", {"abstain_below_open": 0.4}) == 0.4
    assert threshold("closed", {"abstain_below_open": 0.4}) == 0.0
    assert threshold("open", {"abstain_below_open": 0.4}, 0.0) == 0.0
