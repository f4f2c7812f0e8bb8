"""Corrections that people gave train a model by `training.dpo`."""

from __future__ import annotations

import datetime
import json

from assistant.feedback.address import address_of
from assistant.feedback.records import Feedback
from assistant.feedback.store import FeedbackStore
from data_recipes.build import build_data
from training.dpo import main

TEXTS = ("Left effusion.", "Right effusion.", "A cyst.", "A nodule.")


def test_pairs_of_feedback_train(wide_folder, tmp_path):
    store = FeedbackStore(address_of(str(tmp_path / "feedback.sqlite")))
    for number, text in enumerate(TEXTS):
        question = f"What is seen in picture {number}?"
        store.put(
            Feedback(str(number), datetime.date(2026, 11, 1), "answer", "down", question, "Normal.", "feed",
                     correction=text)
        )  # fmt: skip
    store.close()
    build_data("feedback", tmp_path / "feedback.sqlite", tmp_path / "data", licence="in-house", shares="train=1")
    recipe = {
        "model": str(wide_folder), "data": [{"path": str(tmp_path / "data" / "preferences-train.jsonl")}],
        "out": str(tmp_path / "run"), "steps": 2, "pairs": 2, "bf16": False, "report_every": 1,
    }  # fmt: skip
    (tmp_path / "dpo.yaml").write_text(json.dumps(recipe))
    assert main([str(tmp_path / "dpo.yaml")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row][-1] == 2
