"""IU X-ray in the forms of four true samples."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def record(key, split=None):
    made = {"id": key, "report": f"Lungs are clear in {key}.", "image_path": [f"{key}/0.png", f"{key}/1.png"]}
    return made | ({"split": split} if split else {})


def draw(made, *keys):
    made.pictures(*(f"images/{key}/{view}.png" for key in keys for view in (0, 1)))


@pytest.mark.parametrize("form", ["object", "list", "unnamed"])
def test_r2gen_forms(made, form):
    keys = ("CXR1_IM-1", "CXR2_IM-2", "CXR3_IM-3")
    draw(made, *keys)
    named = dict(zip(("train", "val", "test"), keys, strict=True))
    records = [record(key, split) for split, key in named.items()]
    value = {
        "object": {split: [record(key)] for split, key in named.items()},
        "list": records,
        # As in a public copy: one key is spaces, and only its records tell what it is.
        "unnamed": {"train": records[:1], "val": records[1:2], "    ": records[2:]},
    }[form]
    made.json("annotation.json", value)
    built = made.build("iu-xray")
    assert {name: [one.patient for one in found] for name, found in built.items()} == {
        "train": ["CXR1"],
        "dev": ["CXR2"],
        "test": ["CXR3"],
    }
    one = built["train"][0]
    assert len(one.images) == 2
    assert one.messages[0]["content"] == "Write a report."
    assert (one.task, one.modality, one.anatomy) == ("report", "X-ray", "chest")


def test_a_list_that_names_no_split_at_all_is_a_fault(made):
    draw(made, "CXR1_IM-1")
    made.json("annotation.json", {"    ": [record("CXR1_IM-1")]})
    with pytest.raises(DataError, match="field 'split' is null; use train, validation or test"):
        made.build("iu-xray")


def test_kaggle_sections_views_and_empty_reports(made):
    made.pictures("images/images_normalized/1_f.png", "images/images_normalized/1_l.png")
    report = {"uid": 1, "MeSH": "normal", "Problems": "", "image": "x", "indication": "Cough", "comparison": ""}
    made.csv(
        "indiana_reports.csv",
        [
            report | {"findings": "Clear lungs.", "impression": "Normal."},
            report | {"uid": 2, "findings": "", "impression": ""},
            report | {"uid": 3, "findings": "", "impression": "Normal."},
        ],
    )
    made.csv(
        "indiana_projections.csv",
        [
            {"uid": 1, "filename": "1_l.png", "projection": "Lateral"},
            {"uid": 1, "filename": "1_f.png", "projection": "Frontal"},
        ],
    )
    (found,) = made.build("iu-xray").values()
    assert len(found) == 1
    assert found[0].images == ("images/1_f.png", "images/1_l.png")
    assert found[0].truth == {"views": ["frontal", "lateral"], "about": {"mesh": "normal"}}
    assert [message["content"] for message in found[0].messages] == [
        "Indication: Cough\nWrite a report.",
        "Findings: Clear lungs.\nImpression: Normal.",
    ]
