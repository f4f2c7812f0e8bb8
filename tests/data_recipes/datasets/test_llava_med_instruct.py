"""LLaVA-Med instruct; the record's fields are of a true sample."""

from __future__ import annotations


def record(key):
    turns = [
        {"from": "human", "value": "What modality?\n<image>"},
        {"from": "gpt", "value": "CT."},
        {"from": "human", "value": "And where?"},
        {"from": "gpt", "value": "In the brain."},
    ]
    return {
        "id": 1,
        "imgs": f"{key}.jpg",
        "domain": {"ct_scan": True, "mri": False},
        "conversations": turns,
        "fig_caption": "CT of the brain.",
        "pair_id": key,
        "pmid": "28104940",
    }


def test_the_fullest_file_is_read_alone(made):
    made.pictures("images/28104940_F2.jpg", "images/28104940_F3.jpg")
    made.json("instruct/llava_med_instruct_10k.json", [record("28104940_F2")])
    made.json("instruct/llava_med_instruct_60k.json", [record("28104940_F2"), record("28104940_F3")])
    (found,) = made.build("llava-med-instruct").values()
    assert len(found) == 2
    one = found[0]
    assert [message["content"] for message in one.messages] == ["What modality?", "CT.", "And where?", "In the brain."]
    assert (one.task, one.modality, one.patient) == ("chat", "CT", "28104940")
    assert one.truth == {"about": {"fig_caption": "CT of the brain."}}


def test_a_file_named_is_the_one_read(made):
    made.pictures("images/28104940_F2.jpg")
    path = made.json("llava_med_instruct_10k.json", [record("28104940_F2")])
    made.json("llava_med_instruct_60k.json", [])
    (found,) = made.build("llava-med-instruct", path).values()
    assert found[0].id == "llava-med-instruct/llava_med_instruct_10k-1-28104940_F2"
