"""Losses of preference tuning, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.preference_loss import LOSSES, PairScores
from training.preference_settings import LOSS_NAMES

# Better answer: ratio 2, 4 tokens; worse answer: ratio -1, 2 tokens; margin 3.
SCORES = PairScores(*(torch.tensor([one]) for one in (-3.0, -6.0, -5.0, -5.0, 4.0, 2.0)))


def s(x):
    return 1 / (1 + math.exp(-x))


BY_HAND = {
    ("sigmoid", 0.5, 0.0): -math.log(s(1.5)),
    ("sigmoid", 0.5, 0.1): -0.9 * math.log(s(1.5)) - 0.1 * math.log(s(-1.5)),
    ("robust", 0.5, 0.1): (-0.9 * math.log(s(1.5)) + 0.1 * math.log(s(-1.5))) / 0.8,
    ("hinge", 0.2, 0.0): 0.4,
    ("hinge", 0.5, 0.0): 0.0,
    ("ipo", 0.5, 0.0): 4.0,
    ("apo_zero", 0.5, 0.0): 1 - s(1.0) + s(-0.5),
    ("apo_down", 0.5, 0.0): s(1.0) + 1 - s(1.5),
    ("sppo_hard", 0.5, 0.0): 1.0 + 0.0,
    ("nca_pair", 0.5, 0.0): -math.log(s(1.0)) - 0.5 * math.log(s(-1.0)) - 0.5 * math.log(s(0.5)),
    ("exo_pair", 0.5, 0.1): s(1.5) * math.log(s(1.5) / 0.9) + s(-1.5) * math.log(s(-1.5) / 0.1),
    ("bco_pair", 0.5, 0.0): -math.log(s(1.0)) - math.log(s(0.5)),
    ("aot", 0.5, 0.1): -0.9 * math.log(s(1.5)) - 0.1 * math.log(s(-1.5)),
    ("aot_unpaired", 0.5, 0.0): -math.log(s(1.5)),
    ("discopop", 0.01, 0.0): -math.log(s(0.03)) * (1 - s(0.6)) + math.exp(-0.03) * s(0.6),
    ("sft", 0.5, 0.0): 3 / 4,
    # Mean ratios: 2 / 4 and -1 / 2.
    ("sigmoid_norm", 0.5, 0.0): -math.log(s(0.5)),
}


@pytest.mark.parametrize(("name", "beta", "smoothing"), BY_HAND)
def test_loss_is_what_the_paper_says(name, beta, smoothing):
    expected = BY_HAND[name, beta, smoothing]
    assert LOSSES[name](SCORES, beta, smoothing).tolist() == pytest.approx([expected], abs=1e-6)


def test_every_loss_has_a_name_in_the_settings_and_a_case_here():
    assert tuple(LOSSES) == LOSS_NAMES
    assert {name for name, _, _ in BY_HAND} == set(LOSSES)


def test_aot_compares_sorted_preferences_and_not_pairs():
    # Ratios of the better answers 1, 5; of the worse 4, 0; preferences of the policy 3 and -5, of the reference 6, -10.
    first = PairScores(*map(torch.tensor, ([1.0, 0.0], [-2.0, 5.0], [0.0, -5.0], [-6.0, 5.0], [1.0, 1.0], [1.0, 1.0])))
    by_hand = [-math.log(s(0.5 * (-5.0 + 10.0))), -math.log(s(0.5 * (3.0 - 6.0)))]
    assert LOSSES["aot"](first, 0.5, 0.0).tolist() == pytest.approx(by_hand)
    by_hand = [-math.log(s(0.5 * (1.0 - 0.0))), -math.log(s(0.5 * (5.0 - 4.0)))]
    assert LOSSES["aot_unpaired"](first, 0.5, 0.0).tolist() == pytest.approx(by_hand)


def test_sft_is_a_mean_over_all_tokens_of_a_step():
    scores = PairScores(*map(torch.tensor, ([-3.0, -1.0], *[[0.0, 0.0]] * 3, [3.0, 5.0], [1.0, 1.0])))
    assert LOSSES["sft"](scores, 0.1, 0.0).tolist() == pytest.approx([0.5, 0.5])


def test_no_preference_over_the_reference_has_no_margin():
    equal = PairScores(*(torch.tensor([-4.0, -2.0]) for _ in range(4)), *[torch.ones(2)] * 2)
    assert equal.margin.tolist() == [0.0, 0.0]
    assert LOSSES["sigmoid"](equal, 0.1, 0.0).tolist() == pytest.approx([math.log(2)] * 2)
