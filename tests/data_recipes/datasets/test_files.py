"""Files of a set, and the splits their names mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.errors import DataError
from data_recipes.datasets.files import find_files, need_files, split_of, split_parts


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.json", "train"),
        ("new_train_2.csv", "train"),
        ("phrases_no_exclude_dev.jsonl", "dev"),
        ("validation-00000-of-00001.parquet", "dev"),
        ("testset.json", "test"),
        ("All_QA_Pairs_val.txt", "dev"),
        ("ultramedical.json", None),
    ],
)
def test_the_split_is_read_from_the_name(name, split):
    assert split_of(Path(name)) == split


def test_the_first_pattern_that_matches_counts(made):
    made.json("a.json", [])
    made.json("sub/b.json", [])
    assert [path.name for path in find_files(made.root, "*.csv", "*/*.json", "*.json")] == ["b.json"]
    assert find_files(made.root / "a.json", "*.csv") == [made.root / "a.json"]


def test_files_without_a_split_take_the_default(made):
    files = [made.json("a.json", []), made.json("test.json", [])]
    assert [part.split for part in split_parts("medqa", files, default="train")] == ["train", "test"]


def test_a_folder_of_something_else_is_told_what_is_expected_and_what_is_there(made):
    made.file("notes.txt", "x")
    with pytest.raises(
        DataError, match=r"holds nothing that medqa can read\. Expected: \{train,dev,test\}\.jsonl.*Found: notes\.txt\."
    ):
        need_files("medqa", made.root, "*.jsonl")
