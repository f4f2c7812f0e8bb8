"""What is refused before the first step."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.errors import DataError
from data_recipes.schema import Example, write_examples
from training.checks import check_ends, check_lengths, check_patients, check_pictures
from training.dataset import PictureGroup, Turned


def group(*lengths: int) -> PictureGroup:
    return PictureGroup((), [Turned((1,) * (n - 2), (5, 2), name=f"e{n}") for n in lengths])


def test_missing_pictures_are_counted_and_the_first_named(tmp_path):
    there = tmp_path / "there.png"
    there.touch()
    gone = [tmp_path / f"{number}.png" for number in range(7)]
    check_pictures([there])
    with pytest.raises(DataError, match=r"7 of 8 images are missing, first .*0\.png, .*4\.png\. Put") as caught:
        check_pictures([there, *gone])
    assert "5.png" not in str(caught.value)


def test_what_does_not_fit_is_refused_not_cut():
    check_lengths([group(4, 9)], 9, 100)
    with pytest.raises(DataError, match=r"2 of 3 examples take more than 8 tokens: e12 \(12\), e9 \(9\); raise `"):
        check_lengths([group(4, 9), group(12)], 8, 100)
    with pytest.raises(DataError, match=r"1 of 1 examples .* 7 tokens: e9 \(9\); the language model reads no more"):
        check_lengths([group(9)], 200, 7)


def test_an_answer_must_end():
    check_ends([group(4)], [2])
    with pytest.raises(DataError, match="the answer of example 'e4' has no end token"):
        check_ends([group(4)], [7])


def patients_file(path: Path, *patients: str | None) -> Path:
    talk = [{"role": "user", "content": "Normal?"}, {"role": "assistant", "content": "Yes"}]
    write_examples(
        path,
        [
            Example(f"{n}", (), talk, "vqa", "closed", patient=one, source="own", licence="CC0-1.0")
            for n, one in enumerate(patients)
        ],
    )
    return path


def test_a_patient_on_both_sides_is_refused_without_a_name(tmp_path):
    train = patients_file(tmp_path / "train.jsonl", "anna", "berta", None)
    check_patients([train], [patients_file(tmp_path / "dev.jsonl", "clara", None)])
    test = patients_file(tmp_path / "test.jsonl", "berta", "dora")
    with pytest.raises(DataError, match=r"1 of 2 patients of .*test\.jsonl also stand in .*train\.jsonl") as caught:
        check_patients([train], [test])
    assert "berta" not in str(caught.value)
