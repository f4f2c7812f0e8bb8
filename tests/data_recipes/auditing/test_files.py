"""Which files are audited and as which split."""

from __future__ import annotations

import json

import pytest

from assistant.errors import DataError
from data_recipes.auditing.files import find_files, read_rows, split_of


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.jsonl", "train"),
        ("vqa-Train.jsonl", "train"),
        ("validation_en.jsonl", "dev"),
        ("test.jsonl", "test"),
        ("train-test.jsonl", "other"),
        ("trainable.jsonl", "other"),
        ("preferences.jsonl", "other"),
    ],
)
def test_a_name_tells_its_split(name, split):
    assert split_of(name) == split


def test_passages_and_other_lists_in_a_folder_are_passed_over(folder):
    data = folder()
    (data / "passages.jsonl").write_text(json.dumps({"id": "a", "text": "b"}) + "\n", "utf-8")
    (data / "empty.jsonl").write_text("", "utf-8")
    assert [(file.path.name, file.split) for file in find_files([data])] == [
        ("train.jsonl", "train"),
        ("dev.jsonl", "dev"),
    ]


def test_a_file_named_twice_is_read_once(folder):
    data = folder()
    assert len(find_files([data, data / "dev.jsonl", f"test={data / 'dev.jsonl'}"])) == 2


def test_judged_answers_are_read(tmp_path, example):
    record = {**example(1, images=()).to_dict(), "good": False}
    (tmp_path / "judged.jsonl").write_text(json.dumps(record), "utf-8")
    assert [row.example.id for row in read_rows(find_files([tmp_path]))] == ["e1"]


def test_a_broken_line_is_told_with_file_and_line(tmp_path):
    (tmp_path / "train.jsonl").write_text("{\n", "utf-8")
    with pytest.raises(DataError, match=r"train\.jsonl line 1: not JSON"):
        list(read_rows(find_files([tmp_path])))
