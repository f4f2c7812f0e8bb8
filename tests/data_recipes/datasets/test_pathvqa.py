"""PathVQA."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def test_json_lines_with_pictures_in_folders_of_their_split(made):
    made.pictures("images/train/train_0422.jpg", "images/val/val_0001.jpg")
    made.jsonl("train.jsonl", [{"image": "train_0422", "question": "Where are oval cells?", "answer": "in the canals"}])
    made.jsonl("val.jsonl", [{"image": "val_0001", "question": "Is it liver?", "answer": "yes"}])
    built = made.build("pathvqa")
    assert built["train"][0].images == ("images/train/train_0422.jpg",)
    assert (built["train"][0].answer_type, built["dev"][0].answer_type) == ("open", "closed")


def test_parquet(made):
    for split in ("train", "validation", "test"):
        image = {"bytes": made.png(len(split)), "path": None}
        made.parquet(f"data/{split}-00000-of-00001.parquet", [{"image": image, "question": "Q?", "answer": "a"}])
    assert set(made.build("pathvqa")) == {"train", "dev", "test"}


def test_pickles_are_never_read(made):
    made.file("qas/train/train_qa.pkl", b"\x80\x04.")
    with pytest.raises(DataError, match=r"train_qa\.pkl is a pickle, which can run code when it is opened"):
        made.build("pathvqa")
