"""Manifest folders become examples, or are refused as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from assistant.errors import DataError
from data_recipes.build import build_data
from data_recipes.schema import read_examples


def record(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"r{number}",
        "image": f"images/own/{number}.png",
        "modality": "MRI",
        "anatomy": "brain",
        "labels": ["tumour" if number % 2 else "none"],
        "qa": [
            {"question": "What modality?", "answer": "MRI", "answer_type": "OPEN"},
            {"question": "Tumour?", "answer": "Yes" if number % 2 else "No", "answer_type": "CLOSED"},
        ],
        "split": "dev" if number % 4 == 3 else "train",
        "group": f"g{number}",
        "source": "Own",
        "licence": "CC0-1.0",
    } | changes


def folder(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write a manifest folder with one small picture a record."""
    for item in records:
        image = path / item["image"]
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 90, np.uint8)).save(image)
    (path / "manifest.jsonl").write_text("".join(json.dumps(item) + "\n" for item in records), encoding="utf-8")
    return path


def test_each_question_becomes_an_example_in_the_file_of_its_split(tmp_path):
    source = folder(tmp_path / "in", [record(number) for number in range(8)])
    assert build_data("manifest", source, tmp_path / "out") == {"dev.jsonl": 4, "train.jsonl": 12}
    dev = list(read_examples(tmp_path / "out" / "dev.jsonl"))
    assert [example.id for example in dev] == ["r3#0", "r3#1", "r7#0", "r7#1"]
    first, second = dev[:2]
    assert first.messages == [{"role": "user", "content": "What modality?"}, {"role": "assistant", "content": "MRI"}]
    assert (first.task, first.answer_type, second.answer_type) == ("vqa", "open", "closed")
    assert first.truth == {"modality": "MRI", "region": "brain", "brain finding": "tumour"}
    assert (first.patient, first.source, first.licence) == ("g3", "Own", "CC0-1.0")
    assert all(path.is_file() for example in dev for path in example.image_paths(tmp_path / "out"))


def test_counts_choices_captions_and_reports_are_kept(tmp_path):
    blood = {"modality": "blood smear", "anatomy": "peripheral blood", "source": "Cells", "labels": ["WBC"]}
    records = [
        record(0, **blood, counts={"WBC": 1, "RBC": 12}, qa=[]) | {"caption": "Cells."},
        record(
            1, **blood, counts={"WBC": 5, "Platelets": 2}, qa=[], report={"findings": "Many.", "impression": "Ill."}
        ),
        record(
            2, qa=[{"question": "Which?", "answer": "A", "answer_type": "MCQ", "options": ["A", "B"]}], patient="p9"
        ),
        record(4, modality="Histopathology (H&E)", patient={"sex": "male"}, site="north"),
    ]
    build_data("manifest", folder(tmp_path / "in", records), tmp_path / "out")
    caption, report, choice, slide, _ = read_examples(tmp_path / "out" / "train.jsonl")
    assert (caption.task, caption.messages[1]["content"]) == ("caption", "Cells.")
    assert caption.truth == {
        "modality": "Blood-smear microscopy",
        "region": "peripheral blood",
        "platelets": "no",
        "red cells": "yes",
        "white cells": "1",
    }
    assert (report.task, report.answer_type) == ("report", "report")
    assert report.messages[1]["content"] == "Findings: Many.\nImpression: Ill."
    assert (report.truth["white cells"], report.truth["platelets"]) == ("3+", "yes")
    assert (choice.answer_type, choice.choices, choice.patient) == ("choice", ("A", "B"), "p9")
    assert (slide.modality, slide.site, slide.patient) == ("Histopathology", "north", "g4")


def test_labels_of_a_source_with_many_values_or_several_a_record_form_no_class(tmp_path):
    records = [record(number, labels=[f"label {number}"]) for number in range(13)]
    records += [record(number, source="Two", labels=["a", "b"]) for number in range(20, 22)]
    build_data("manifest", folder(tmp_path / "in", records), tmp_path / "out")
    for name in ("train", "dev"):
        assert all(
            "brain finding" not in example.truth for example in read_examples(tmp_path / "out" / f"{name}.jsonl")
        )


def test_link_puts_links_and_limit_takes_records_of_all_sources(tmp_path):
    records = [record(number, source="Own" if number < 20 else "Other") for number in range(40)]
    source = folder(tmp_path / "in", records)
    build_data("manifest", source, tmp_path / "out", limit=12, link=True)
    examples = [example for path in (tmp_path / "out").glob("*.jsonl") for example in read_examples(path)]
    images = {path for example in examples for path in example.image_paths(tmp_path / "out")}
    assert len(images) == 12
    assert all(path.is_symlink() and path.is_file() for path in images)
    assert {example.source for example in examples} == {"Own", "Other"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": "images/own/none.png"}, "line 2: field 'image': \"images/own/none.png\" is missing; add the file"),
        ({"image": "/etc/passwd"}, "field 'image': image path is \"/etc/passwd\"; give it relative"),
        ({"image": "../x.png"}, "which leaves the folder"),
        ({"image": None}, "image path is null"),
        ({"split": "validation"}, "field 'split' is \"validation\"; use one of train, dev, test, smoke"),
        ({"licence": ""}, "field 'licence' is \"\""),
        ({"id": "r0"}, "field 'id' is \"r0\", which line 1 has already"),
        ({"group": "g0", "split": "dev"}, 'field \'group\' is "g0" in split "dev", but line 1 puts it in "train"'),
        ({"labels": "x"}, "field 'labels' is \"x\"; it takes a list"),
        ({"counts": {"WBC": -1}}, "field 'counts'"),
        ({"modality": 5}, "field 'modality' is 5"),
        ({"report": {"findings": ""}}, "field 'report'"),
        ({"qa": {}}, "field 'qa' is {}; it takes a list"),
        ({"qa": ["x"]}, r"field 'qa\[0\]' is \"x\""),
        (
            {"qa": [{"question": "Q?", "answer": " ", "answer_type": "OPEN"}]},
            r"field 'qa\[0\]\.answer' is \" \"; give a text",
        ),
        (
            {"qa": [{"question": "Q?", "answer": "A", "answer_type": "FREE"}]},
            r"field 'qa\[0\]\.answer_type' is \"FREE\"; use one of CLOSED, OPEN, MCQ",
        ),
        (
            {"qa": [{"question": "Q?", "answer": "A", "answer_type": "MCQ"}]},
            "but answer_type is MCQ; list the answers",
        ),
        (
            {"qa": [{"question": "Q?", "answer": "A", "answer_type": "MCQ", "options": ["B"]}]},
            r"field 'qa\[0\]\.answer' is \"A\", which is none of its options",
        ),
        (
            {"qa": [{"question": "Q?", "answer": "A", "answer_type": "MCQ", "options": []}]},
            r"field 'qa\[0\]\.options' is \[\]; it takes a list",
        ),
    ],
)
def test_a_faulty_record_is_refused_and_nothing_written(tmp_path, changes, message):
    source = folder(tmp_path / "in", [record(0), record(1)])
    lines = [record(0), record(1) | changes]
    (source / "manifest.jsonl").write_text("".join(json.dumps(item) + "\n" for item in lines), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        build_data("manifest", source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_all_faults_are_told_at_once_but_at_most_twenty(tmp_path):
    source = folder(tmp_path / "in", [record(number) for number in range(25)])
    lines = [json.dumps(record(number, licence="")) for number in range(24)] + ["{", "[]"]
    (source / "manifest.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match="26 faults, nothing was written") as caught:
        build_data("manifest", source, tmp_path / "out")
    assert str(caught.value).count("field 'licence'") == 20
    assert "… and 6 more" in str(caught.value)


def test_links_out_of_the_folder_empty_files_and_clashing_names_are_refused(tmp_path):
    source = folder(tmp_path / "in", [record(0), record(1)])
    (source / "images/own/0.png").unlink()
    (source / "images/own/0.png").symlink_to("/etc/hostname")
    (source / "images/own/1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)is a link that leaves the folder.*is an empty file"):
        build_data("manifest", source, tmp_path / "out")
    clash = folder(tmp_path / "clash", [record(0, image="a.png"), record(1, image="images/a.png")])
    with pytest.raises(DataError, match=r"images/a\.png and a\.png would both be written to images/a\.png"):
        build_data("manifest", clash, tmp_path / "out")


def test_a_folder_without_manifest_or_without_records_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no manifest\.jsonl"):
        build_data("manifest", tmp_path, tmp_path / "out")
    (tmp_path / "manifest.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no record"):
        build_data("manifest", tmp_path, tmp_path / "out")


def test_a_line_that_is_not_utf8_is_told_with_its_number_and_nothing_is_written(tmp_path):
    source = folder(tmp_path / "in", [record(0), record(1)])
    lines = (source / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (source / "manifest.jsonl").write_bytes(lines[0] + lines[1].replace(b"tumour", "größer".encode("latin-1")))
    with pytest.raises(DataError, match=r"line 2: not UTF-8 \(.*\); save the file as UTF-8"):
        build_data("manifest", source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_byte_order_mark_does_no_harm(tmp_path):
    source = folder(tmp_path / "in", [record(0)])
    text = (source / "manifest.jsonl").read_bytes()
    (source / "manifest.jsonl").write_bytes(b"\xef\xbb\xbf" + text)
    assert build_data("manifest", source, tmp_path / "out") == {"train.jsonl": 2}
