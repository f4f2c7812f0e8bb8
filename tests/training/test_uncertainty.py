"""Intervals and calibration numbers, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.uncertainty import (
    accuracy_at,
    aurc,
    bootstrap_mean,
    bootstrap_ratio,
    brier,
    expected_calibration_error,
    risks,
)


def test_the_interval_of_a_mean_agrees_with_the_normal_one() -> None:
    values = np.random.default_rng(0).random(400) < 0.7
    found = bootstrap_mean(values, range(400))
    error = 1.96 * math.sqrt(values.mean() * (1 - values.mean()) / 400)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == (
        pytest.approx(values.mean() - error, abs=0.01),
        pytest.approx(values.mean() + error, abs=0.01),
    )


def test_answers_on_one_patient_count_as_one() -> None:
    alone = bootstrap_mean([1, 0] * 50, range(100))
    together = bootstrap_mean(np.repeat([1, 0] * 5, 10), np.repeat(range(10), 10))
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_a_ratio_of_sums_is_not_a_mean_of_ratios() -> None:
    assert bootstrap_ratio([1, 0], [1, 3], ["a", "b"]).value == 0.25
    assert math.isnan(bootstrap_ratio([0], [0], ["a"]).value)


def test_equal_seeds_give_equal_intervals() -> None:
    values, groups = [0, 1, 1, 0, 1], [1, 1, 2, 3, 3]
    assert bootstrap_mean(values, groups, seed=3) == bootstrap_mean(values, groups, seed=3)


def test_calibration_error_weighs_the_gaps_of_the_bins() -> None:
    # Bin (0.8, 0.9]: mean 0.85, all right, gap 0.15 of 2; bin (0.5, 0.6]: mean 0.6, half right, gap 0.1 of 2.
    found = expected_calibration_error([0.85, 0.85, 0.6, 0.6], [1, 1, 1, 0])
    assert found == pytest.approx((2 * 0.15 + 2 * 0.1) / 4)
    assert expected_calibration_error([1.0, 0.0], [1, 0]) == 0


def test_brier_is_the_mean_square() -> None:
    assert brier([0.8, 0.4], [1, 0]) == pytest.approx((0.04 + 0.16) / 2)


def test_risk_grows_as_less_sure_answers_come_in() -> None:
    sure, right = [0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0]
    assert risks(sure, right).tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert aurc(sure, right) == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert accuracy_at(sure, right, 0.5) == 1
    assert accuracy_at(sure, right, 1.0) == 0.5


def test_equal_confidences_stand_in_no_order() -> None:
    assert aurc([0.5, 0.5], [1, 0]) == aurc([0.5, 0.5], [0, 1]) == 0.5
