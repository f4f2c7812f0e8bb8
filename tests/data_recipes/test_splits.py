"""Splits by group."""

from __future__ import annotations

import pytest

from assistant.errors import DataError
from data_recipes.splits import assign_split, check_disjoint, group_key, hash_point, read_shares, spanning_groups


def test_a_group_keeps_its_split_and_shares_are_met():
    splits = [assign_split(f"patient-{number}") for number in range(4000)]
    assert splits == [assign_split(f"patient-{number}") for number in range(4000)]
    assert splits.count("train") / 4000 == pytest.approx(0.8, abs=0.03)
    assert splits.count("dev") / 4000 == pytest.approx(0.1, abs=0.02)


def test_another_seed_splits_otherwise():
    assert hash_point("patient-1", 0) != hash_point("patient-1", 1)
    assert 0 <= hash_point("patient-1") < 1


def test_shares_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ValueError, match=r"shares are \{'train': 0\.5\}; they must be 0 or more and sum to 1"):
        assign_split("p", shares={"train": 0.5})


def test_groups_in_two_splits_are_found_and_refused():
    pairs = [("a", "train"), ("b", "dev"), ("a", "dev"), ("b", "dev")]
    assert spanning_groups(pairs) == {"a": ("dev", "train")}
    with pytest.raises(DataError, match="1 groups stand in more than one split; the first is 'a' in dev, train"):
        check_disjoint(pairs)
    check_disjoint(pairs[:2])


def test_the_largest_known_group_decides():
    assert group_key(patient="7", study="7", record="7") == "patient 7"
    assert group_key(patient=" ", study="7", article="9") == "study 7"
    assert group_key(article="9", record="1") == "article 9"
    assert group_key(record="1") == "record 1"
    with pytest.raises(ValueError, match="no patient, study, article or record is given"):
        group_key()


def test_shares_are_read_from_a_command_line():
    assert read_shares("train=0.7, dev=0.3") == {"train": 0.7, "dev": 0.3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train", "--shares has 'train'; write SPLIT=SHARE"),
        ("train=half", "--shares has 'train=half'; write SPLIT=SHARE"),
        ("practice=1", "--shares has 'practice=1'; use splits of train, dev, test, smoke"),
        ("train=2,dev=-1", "--shares has 'train=2'; use splits of .* and shares from 0 to 1"),
        ("train=0.5,dev=0.4", "--shares is 'train=0.5,dev=0.4', which sums to 0.9; make it 1"),
    ],
)
def test_shares_that_cannot_be_meant_are_refused(text, message):
    with pytest.raises(DataError, match=message):
        read_shares(text)
