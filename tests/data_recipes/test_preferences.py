"""Pairs of a true and a spoilt answer."""

from __future__ import annotations

import random

import pytest

from assistant.errors import DataError
from assistant.prompts import parse_report, render_report
from data_recipes.build import build_data
from data_recipes.phantom_text import report_findings
from data_recipes.preferences import WRONG_ANSWER, preferences
from data_recipes.schema import Example, read_examples, read_preferences, write_examples
from data_recipes.spoil import FAULTS, MATCHED_FAULTS

TRUTH = {
    "kind": "head_ct",
    "findings": [
        {"name": "mass", "side": "left", "zone": "anterior", "size_mm": 20, "count": 1},
        {"name": "calcification", "side": "right", "zone": "middle", "size_mm": 5, "count": 2},
    ],
}
SECTIONS = {
    "technique": "CT of the head, axial.",
    "findings": "1. Mass: side left, zone anterior, size 20 mm, number 1. 2. Calcification: side right, zone middle, "
    "size 5 mm, number 2. No hemorrhage.",
    "impression": "Mass in the left anterior brain. Calcifications in the right middle brain.",
}
MASS, CALCIFICATION = ("mass", "left", "anterior"), ("calcification", "right", "middle")


class First(random.Random):
    """Always takes the first."""

    def choice(self, seq):
        return seq[0]


def spoilt(reason):
    found = FAULTS[reason](dict(SECTIONS), TRUTH, First())
    assert found is not None
    assert found["technique"] == SECTIONS["technique"]
    return found


def test_only_the_side_of_one_finding_changes():
    found = spoilt("wrong side")
    assert found["findings"].startswith(
        "1. Mass: side right, zone anterior, size 20 mm, number 1. 2. Calcification: side right"
    )
    assert report_findings(found["findings"]) == {("mass", "right", "anterior"), CALCIFICATION}
    assert found["impression"] == "Mass in the right anterior brain. Calcifications in the right middle brain."


def test_only_the_size_of_one_finding_changes():
    found = spoilt("wrong size")
    assert found["findings"] == SECTIONS["findings"].replace("size 20 mm", "size 30 mm")
    assert found["impression"] == SECTIONS["impression"]


def test_a_finding_is_left_out_and_the_list_counted_again():
    found = spoilt("omitted finding")
    assert found["findings"] == "1. Calcification: side right, zone middle, size 5 mm, number 2. No hemorrhage."
    assert found["impression"] == "Calcifications in the right middle brain."
    alone = {**TRUTH, "findings": TRUTH["findings"][:1]}
    sections = {
        **SECTIONS,
        "findings": "There is a 20 mm mass in the left anterior part of the brain. No other abnormality is seen.",
    }
    sections["impression"] = "Mass in the left anterior brain."
    nothing = FAULTS["omitted finding"](sections, alone, First())
    assert nothing is not None
    assert (nothing["findings"], nothing["impression"]) == ("No abnormality is seen.", "No abnormality.")


def test_a_finding_is_made_up_and_no_longer_denied():
    found = spoilt("made-up finding")
    made_up = ("hemorrhage", "left", "anterior")
    assert report_findings(found["findings"]) == {MASS, CALCIFICATION, made_up}
    assert report_findings(found["impression"]) == {MASS, CALCIFICATION, made_up}
    assert "No hemorrhage" not in found["findings"]


def test_a_prior_is_mentioned_after_all_else():
    found = spoilt("mentions a prior")
    assert (
        found["findings"] == SECTIONS["findings"] + " Compared with the prior examination, the findings are unchanged."
    )


def example(task, answer, **fields):
    talk = [{"role": "user", "content": "Ask"}, {"role": "assistant", "content": answer}]
    return Example(
        "e", ("a.png",), talk, task, fields.pop("answer_type", "report"), source="own", licence="CC0-1.0", **fields
    )


def test_a_report_gives_each_fault_once_and_a_comparison_is_no_fault_beside_a_prior():
    report = example("report", render_report(SECTIONS), truth=TRUTH)
    pairs = list(preferences(report, random.Random(0)))
    assert [one.reason for one in pairs] == list(FAULTS)
    assert {one.chosen for one in pairs} == {render_report(SECTIONS)}
    assert len({one.id for one in pairs}) == len(pairs)
    both = Example(**{**report.__dict__, "images": ("a.png", "b.png")})
    assert "mentions a prior" not in [one.reason for one in preferences(both, random.Random(0))]


def test_a_question_gets_another_of_its_answers():
    asked = example("vqa", "Left", answer_type="closed", choices=("Left", "Right"))
    pairs = [one for seed in range(40) for one in preferences(asked, random.Random(seed))]
    assert 5 < len(pairs) < 25
    assert {(one.rejected, one.reason) for one in pairs} == {("Right", WRONG_ANSWER)}


def test_phantoms_become_pairs_whose_fault_is_the_one_named(tmp_path):
    build_data("phantom", None, tmp_path / "phantoms", limit=30, seed=2)
    build_data("preferences", tmp_path / "phantoms" / "train.jsonl", tmp_path / "pairs", limit=80, seed=1)
    pairs = list(read_preferences(tmp_path / "pairs" / "preferences.jsonl"))
    assert len(pairs) == 80
    assert {one.reason for one in pairs} == {*FAULTS, WRONG_ANSWER}
    for one in pairs:
        assert (tmp_path / "pairs" / one.images[0]).is_file()
        if one.reason == WRONG_ANSWER:
            continue
        before, after = (report_findings(parse_report(text)["findings"]) for text in (one.chosen, one.rejected))
        changed = {
            "mentions a prior": (0, 0),
            "wrong size": (0, 0),
            "wrong side": (1, 1),
            "omitted finding": (1, 0),
            "made-up finding": (0, 1),
        }[one.reason]
        assert (len(before - after), len(after - before)) == changed, (one.reason, one.chosen, one.rejected)


def test_data_that_cannot_be_made_wrong_are_refused(tmp_path):
    write_examples(tmp_path / "a.jsonl", [example("vqa", "A cyst", answer_type="open")])
    with pytest.raises(DataError, match=r"a\.jsonl has no report with known findings and no question with answers"):
        build_data("preferences", tmp_path / "a.jsonl", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert list(read_examples(tmp_path / "a.jsonl"))


def test_only_the_zone_of_one_finding_changes():
    found = MATCHED_FAULTS["wrong place"](dict(SECTIONS), TRUTH, First())
    assert found is not None
    assert found["findings"] == SECTIONS["findings"].replace("zone anterior", "zone middle")
    assert found["impression"] == SECTIONS["impression"].replace("left anterior", "left middle")


def test_only_the_name_of_one_finding_changes_and_none_that_is_denied_takes_its_place():
    assert MATCHED_FAULTS["wrong finding"](dict(SECTIONS), TRUTH, First()) is None
    silent = {**SECTIONS, "findings": SECTIONS["findings"].replace(" No hemorrhage.", "")}
    found = MATCHED_FAULTS["wrong finding"](silent, TRUTH, First())
    assert found is not None
    assert found["findings"] == silent["findings"].replace("Mass", "Hemorrhage")
    assert found["impression"] == silent["impression"].replace("Mass", "Hemorrhage")


def test_matched_pairs_are_about_equally_long_and_say_nothing_else_that_is_wrong(tmp_path):
    build_data("phantom", None, tmp_path / "phantoms", limit=60, seed=2)
    source = tmp_path / "phantoms" / "train.jsonl"
    build_data("preferences", source, tmp_path / "pairs", seed=1, length_matched=True)
    pairs = [one for one in read_preferences(tmp_path / "pairs" / "preferences.jsonl") if one.reason != WRONG_ANSWER]
    assert {"mentions a prior", "wrong side", "wrong place", "wrong finding", "omitted finding"} <= {
        one.reason for one in pairs
    }
    for one in pairs:
        better, worse = len(one.chosen.split()), len(one.rejected.split())
        assert abs(better - worse) <= max(3, 0.1 * better)
        before, after = (report_findings(parse_report(text)["findings"]) for text in (one.chosen, one.rejected))
        most = 0 if one.reason in ("mentions a prior", "wrong size") else 1
        assert len(before - after) <= most
        assert len(after - before) <= most
