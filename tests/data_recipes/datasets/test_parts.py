"""Parts: the order of reading, limits, splits named by rows."""

from __future__ import annotations

import pytest

from assistant.errors import DataError
from data_recipes.datasets.files import split_word
from data_recipes.datasets.parts import Part, by_field, in_turn
from data_recipes.datasets.row import Row


def part(split, **more):
    return Part(split, lambda: [], **more)


def test_held_out_parts_come_first_and_overlapping_ones_last():
    parts = [part("train"), part("test_tiny", apart=True), part("dev"), part("test"), part(None)]
    assert [one.split for one, _ in in_turn(parts, None)] == ["test", "dev", "train", None, "test_tiny"]


@pytest.mark.parametrize(("limit", "quotas"), [(7, [3, 2, 2]), (2, [1, 1]), (3, [1, 1, 1])])
def test_a_limit_is_shared_by_all_parts(limit, quotas):
    parts = [part("train"), part("dev"), part("test")]
    assert [quota for _, quota in in_turn(parts, limit)] == quotas


def test_rows_that_name_their_split_are_parted():
    rows = [Row("a", 1, {"split": "val"}), Row("a", 2, {"split": "train"}), Row("a", 3, {"split": "odd"})]
    parts = by_field("split", lambda row: split_word(row.maybe("split")), lambda: rows)
    found = {one.split: [row.number for row in one.rows()] for one in parts}
    assert found == {"test": [3], "dev": [1], "train": [2]}
    assert next(iter(parts[0].rows())).fault == "field 'split' is \"odd\"; use train, validation or test."


def test_a_split_that_cannot_name_a_file_is_refused():
    with pytest.raises(DataError, match=r'split "\.\./x" cannot name a file'):
        part("../x")
