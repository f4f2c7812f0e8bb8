"""ROCOv2."""

from __future__ import annotations


def test_tables_beside_folders_of_pictures(made):
    made.pictures("train/ROCOv2_2023_train_000001.jpg")
    key = "ROCOv2_2023_train_000001"
    made.csv("train_captions.csv", [{"ID": key, "Caption": "Head CT."}])
    made.csv("train_concepts.csv", [{"ID": key, "CUIs": "C0040405;C0006104"}])
    one = made.build("rocov2")["train"][0]
    assert one.images == (f"images/train/{key}.jpg",)
    assert one.truth == {"cuis": ["C0040405", "C0006104"]}
    assert (one.task, one.messages[1]["content"]) == ("caption", "Head CT.")


def test_parquet(made):
    image = {"bytes": made.png(), "path": None}
    made.parquet("data/validation-0.parquet", [{"image": image, "image_id": "R1", "caption": "MRI.", "cui": ["C1"]}])
    one = made.build("rocov2")["dev"][0]
    assert (one.id, one.truth) == ("rocov2/R1", {"cuis": ["C1"]})
