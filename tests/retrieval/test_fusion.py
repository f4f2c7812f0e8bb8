import pytest

from retrieval.fusion import diversify, reciprocal_rank_fusion


def test_fusion_adds_weighted_reciprocal_ranks():
    scores = reciprocal_rank_fusion({"a": ["x", "y"], "b": ["y"]}, {"a": 1.0, "b": 0.5}, constant=1)
    # x: 1/2; y: 1/3 + 0.5/2; the most possible: (1 + 0.5) / 2.
    assert scores == pytest.approx({"y": (1 / 3 + 0.25) / 0.75, "x": 0.5 / 0.75})
    assert next(iter(scores)) == "y"


def test_what_every_list_puts_first_scores_one():
    assert reciprocal_rank_fusion({"a": ["x"], "b": ["x", "y"]}, {"a": 2.0, "b": 1.0})["x"] == pytest.approx(1.0)


def test_lists_without_weight_or_items_are_left_out():
    assert reciprocal_rank_fusion({"a": ["x"], "b": [], "c": ["y"]}, {"a": 1.0, "b": 1.0}) == {"x": 1.0}
    assert reciprocal_rank_fusion({}, {}) == {}


def test_diversity_puts_a_copy_after_something_new():
    scores = {"best": 1.0, "copy": 0.9, "new": 0.6}

    def alike(one, other):
        return 1.0 if {one, other} == {"best", "copy"} else 0.0

    assert diversify(scores, alike, 3, diversity=0.5) == ["best", "new", "copy"]
    assert diversify(scores, alike, 2, diversity=0.0) == ["best", "copy"]
