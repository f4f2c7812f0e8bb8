"""MIMIC-CXR in R2Gen's layout, with invented values."""

from __future__ import annotations

import socket

PICTURE = "p10/p10000000/s5/{}.jpg"


def record(key, patient):
    path = PICTURE.format(key)
    return {"id": key, "study_id": 5, "subject_id": patient, "report": "Lungs are clear.", "image_path": [path]}


def test_a_local_copy_is_read_with_its_patients_and_no_connection(made, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    made.pictures(*(f"files/{PICTURE.format(key)}" for key in "abc"))
    made.json("annotation.json", {"train": [record("a", 1), record("b", 2)], "val": [], "test": [record("c", 2)]})
    built = made.build("mimic-cxr")
    assert {name: [one.patient for one in found] for name, found in built.items()} == {"train": ["1"], "test": ["2"]}
    assert built["test"][0].truth == {"about": {"study_id": "5"}}
    assert "Credentialed" in built["test"][0].licence
