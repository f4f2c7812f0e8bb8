"""LLaVA-Med's rules, against values worked out by hand from what its code does."""

from __future__ import annotations

import pytest

from training.evaluation.llava_med import LLAVA_MED, closed_hit, exact_match, normalise, precision_recall_f1
from training.evaluation.scorer import Pair


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The left lung.", "left lung"),
        ("two nodules, one mass", "2 nodules 1 mass"),
        ("none", "0"),
        # A hyphen between letters becomes a space; one beside a space goes.
        ("x-ray", "x ray"),
        ("t1 - weighted", "t1 weighted"),
        # A full stop before a digit stays.
        ("1.5 cm.", "1.5 cm"),
        # With a comma between digits anywhere, all punctuation goes without leaving a space.
        ("1,000 x-ray", "1000 xray"),
        ("it dont show", "it don't show"),
        ("", ""),
    ],
)
def test_answers_are_normalised_as_the_peer_does(text: str, words: str) -> None:
    assert normalise(text) == words


def test_a_shared_word_counts_as_often_as_it_is_said() -> None:
    # Said: left x3, lung x0 of the truth's two words: shared 3, extra 0, missed 1.
    assert precision_recall_f1("left left left", "left lung") == pytest.approx((1.0, 3 / 4, 6 / 7))
    # Shared upper, lobe; extra right; missed left.
    assert precision_recall_f1("right upper lobe", "left upper lobe") == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert precision_recall_f1("nothing", "left lung") == (0.0, 0.0, 0.0)
    assert precision_recall_f1("", "left") == (0.0, 0.0, 0.0)


def test_what_it_calls_exact_match_is_a_share_of_the_words_said() -> None:
    assert exact_match("in the left lung", "left lung") == pytest.approx(2 / 3)
    assert exact_match("left left", "left") == 0.5
    assert exact_match("", "left") == 0


@pytest.mark.parametrize(
    ("prediction", "truth", "hit"),
    [
        ("Yes, there is", "yes", 1.0),
        ("no", "yes", None),
        # "no" within "normal", and the truth "no" is found there.
        ("normal", "no", 1.0),
        ("it is large", "no", 0.0),
        ("axial", "axial", 0.0),
        ("not axial", "axial", 1.0),
    ],
)
def test_closed_answers_are_hit_missed_or_dropped(prediction: str, truth: str, hit: float | None) -> None:
    assert closed_hit(prediction, truth) == hit


def test_dropping_wrong_answers_flatters_and_both_numbers_are_offered() -> None:
    pairs = [Pair(said, "yes", "closed") for said in ("yes", "no", "no", "unclear to me")]
    # "unclear to me" holds neither yes nor no.
    scores = {one.name: one.score(pairs, "abcd") for one in LLAVA_MED}
    assert scores["llava_med.closed"].value == 1 / 4
    assert (scores["llava_med.closed_as_written"].value, scores["llava_med.closed_as_written"].n) == (1 / 2, 2)
    assert scores["llava_med.open_recall"] is None
