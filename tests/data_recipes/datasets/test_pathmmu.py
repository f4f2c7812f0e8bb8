"""PathMMU."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def question(number, **changes):
    return {
        "No": number,
        "img": f"{number}.jpg",
        "question": "What is shown?",
        "options": ["A) gland", "B) vessel"],
        "answer": "B) vessel",
        "explanation": "It has a wall.",
    } | changes


def test_subsets_and_splits(made):
    made.pictures("images/1.jpg", "images/2.jpg")
    tests = [question(1), question(2)]
    made.json("data.json", {"Atlas": {"val": [], "test": tests, "test_tiny": tests[:1]}, "PubMed": {"val": []}})
    built = made.build("pathmmu")
    assert {name: len(found) for name, found in built.items()} == {"test": 2, "test_tiny": 1}
    one = built["test"][0]
    assert (one.choices, one.messages[1]["content"]) == (("gland", "vessel"), "vessel")
    assert one.truth == {"about": {"subset": "Atlas", "explanation": "It has a wall."}}
    assert one.modality == "Histopathology"


def test_a_plain_list_is_a_test_and_a_strange_split_is_refused(made):
    made.pictures("images/1.jpg")
    made.json("data.json", [question(1)])
    assert list(made.build("pathmmu")) == ["test"]
    made.json("data.json", {"Atlas": {"../x": [question(1)]}})
    made.out = made.out.with_name("other")
    with pytest.raises(DataError, match="cannot name a file"):
        made.build("pathmmu")
