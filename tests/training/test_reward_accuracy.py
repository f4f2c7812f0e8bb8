"""How often pairs are put in order, counted by hand."""

from __future__ import annotations

import numpy as np

from training.reward_accuracy import pair_accuracy, render_accuracy


def test_accuracy_by_hand():
    rewards = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0], [3.0, 0.0]])
    tokens = np.array([[5, 3], [4, 6], [2, 3], [4, 4]])
    found = pair_accuracy(rewards, tokens, ["side", "side", "size", ""], ["a", "b", "c", "d"])
    assert (found["pairs"], found["accuracy"]["value"]) == (4, 0.625)
    assert {name: part["accuracy"]["value"] for name, part in found["by_reason"].items()} == {"side": 0.5, "size": 0.5}
    # Longer: the better, the worse, the worse; it wins in the first, the second and half of the third.
    assert (found["longer_wins"], found["longer_is_better"]) == (round(2.5 / 3, 4), round(1 / 3, 4))
    table = render_accuracy(found)
    assert "| all | 4 | 62.5% |" in table
    assert "longer answer wins in 83.3%, and is the better one in 33.3%" in table


def test_pairs_of_like_length_have_no_longer_one():
    found = pair_accuracy(np.array([[1.0, 0.0]]), np.array([[2, 2]]), [""], ["a"])
    assert "longer_wins" not in found
    assert "longer" not in render_accuracy(found)
