"""UltraMedical; the fields are of a true sample."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("form", ["array", "lines", "parquet"])
def test_dialogues_are_split_by_question(made, form):
    records = [
        {
            "id": f"MedQA,{number}",
            "type": "Exam",
            "conversations": [{"from": "human", "value": f"Q {number}?"}, {"from": "gpt", "value": "So, A."}],
            "answer": "A",
            "score": "7",
        }
        for number in range(50)
    ]
    if form == "array":
        made.json("ultramedical.json", records)
    elif form == "lines":
        made.jsonl("ultramedical.json", records)
    else:
        made.parquet("data/train-0.parquet", records)
    built = made.build("ultramedical")
    assert sum(map(len, built.values())) == 50
    assert {"train", "dev"} <= set(built)
    one = built["train"][0]
    assert one.truth == {"about": {"type": "Exam", "answer": "A"}}
    assert one.messages[1]["content"] == "So, A."
