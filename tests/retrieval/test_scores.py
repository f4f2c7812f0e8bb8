import pytest

from retrieval.scores import ndcg, reciprocal_rank, wilson


def test_ndcg_is_one_for_the_best_order_and_falls_with_rank():
    assert ndcg([True, False], 1, 5) == 1.0
    assert ndcg([False, True], 1, 5) == pytest.approx(0.6309, abs=1e-4)
    assert ndcg([True, False, True], 2, 3) == pytest.approx(1.5 / 1.6309, abs=1e-4)
    assert ndcg([], 0, 5) == 0.0


def test_reciprocal_rank_is_that_of_the_first_right_one():
    assert reciprocal_rank([False, False, True, True]) == pytest.approx(1 / 3)
    assert reciprocal_rank([False]) == 0.0


def test_wilsons_interval_holds_the_share_and_stays_inside():
    low, high = wilson(98, 100)
    assert (low, high) == (pytest.approx(0.930, abs=1e-3), pytest.approx(0.9945, abs=1e-3))
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(5, 5)[1] == 1.0
