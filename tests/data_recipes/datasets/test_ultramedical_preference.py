"""UltraMedical preference."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def pair(better="Rest.", worse="Run.", asked=("What helps?", "What helps?")):
    return {
        "prompt_id": "p1",
        "label_type": "length",
        "chosen": [{"role": "user", "content": asked[0]}, {"role": "assistant", "content": better}],
        "rejected": [{"role": "user", "content": asked[1]}, {"role": "assistant", "content": worse}],
    }


def test_pairs_become_preferences_and_equal_answers_are_left_out(made, caplog):
    made.json("train.json", [pair(), pair(worse="Rest.")])
    with caplog.at_level("INFO"):
        (one,) = made.build_preferences("ultramedical-preference")
    assert one.messages == [{"role": "user", "content": "What helps?"}]
    assert (one.chosen, one.rejected, one.reason) == ("Rest.", "Run.", "ranked lower (length)")
    assert one.licence == "MIT"
    assert "1 left out: both answers are the same" in caplog.text


def test_different_questions_are_a_fault(made):
    made.json("train.json", [pair(asked=("What helps?", "What harms?"))])
    with pytest.raises(DataError, match="fields 'chosen' and 'rejected' begin differently"):
        made.build_preferences("ultramedical-preference")
