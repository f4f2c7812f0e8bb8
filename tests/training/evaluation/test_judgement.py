"""Fairness, confusing pairs, conformal sets, calibration and the headline, on predictions made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from data_recipes.schema import Example
from training.calibration_fit import fit_temperature
from training.evaluation.conformal import Weighed, conformal, fit_threshold, weighed
from training.evaluation.fairness import fairness
from training.evaluation.headline import abstention, breakdowns, calibration, headline
from training.evaluation.items import traits_of
from training.evaluation.pairs import set_accuracy
from training.uncertainty import bootstrap_of, bootstrap_ratio


def test_the_headline_has_every_score_with_interval_and_count(row):
    rows = [
        row("Yes", "Yes", number=1),
        row("No", "Yes", number=2),
        row("Glioma", "Glioma", number=3, answer_type="choice", choices=("Glioma", "Cyst")),
        row("left lung", "left upper lung", number=4, answer_type="open"),
        row("Left effusion.", "Left effusion. Right nodule.", number=5, answer_type="report", task="report"),
    ]
    found = headline(rows)
    assert found["n"] == 5
    assert (found["closed_accuracy"]["value"], found["closed_accuracy"]["n"]) == (0.5, 2)
    assert found["choice_accuracy"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 1}
    assert found["open_recall"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["exact_match"]["value"] == 0
    assert found["token_f1"]["value"] == pytest.approx(0.8)
    assert found["report"]["finding_precision"]["value"] == 1
    assert found["report"]["finding_recall"]["value"] == 0.5
    assert set(found["report"]) == {
        "bleu4", "rouge_l", "meteor", "finding_precision", "finding_recall", "finding_f1",
        "prior_sentences_per_report", "length_ratio",
    }  # fmt: skip


def test_parts_are_scored_by_modality_source_type_and_trait(row):
    rows = [
        row("Yes", "Yes", number=1, modality="CT", traits=(("sex", "F"),)),
        row("No", "Yes", number=2, modality="MRI", traits=(("sex", "M"),)),
        row("A dog", "A cat", number=3, answer_type="open", task="caption", right=None),
    ]
    by = breakdowns(rows)
    assert by["modality"]["CT"]["closed_accuracy"]["value"] == 1
    assert set(by["answer_type"]) == {"closed", "caption"}
    assert by["group"]["sex"]["M"]["closed_accuracy"]["value"] == 0
    assert by["source"]["made"]["n"] == 3


def test_traits_come_from_the_truth_and_ages_become_bands():
    def example(**truth):
        messages = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A"}]
        return Example(
            id="a", images=("a.png",), messages=messages, task="vqa", answer_type="open", source="s", licence="l",
            site="B", truth=truth,
        )  # fmt: skip

    assert traits_of(example(sex="F", age=39)) == (("age_group", "18-39"), ("sex", "F"), ("site", "B"))
    assert traits_of(example(demographics={"age": 80})) == (("age_group", "80 and over"), ("site", "B"))
    assert traits_of(example(about={"sex": "M"})) == (("sex", "M"), ("site", "B"))
    assert traits_of(example(age="60-79", colour="red")) == (("age", "60-79"), ("site", "B"))


def test_the_gap_is_between_the_best_and_the_worst_large_group(row):
    def rows(site, right, count, start):
        return [
            row("Yes" if place < right else "No", "Yes", number=start + place, traits=(("site", site),))
            for place in range(count)
        ]

    found = fairness([*rows("A", 30, 40, 0), *rows("B", 10, 40, 100), *rows("C", 0, 3, 200)])["site"]
    assert found["groups"]["C"]["accuracy"]["value"] == 0
    gap = found["gap"]
    assert (gap["value"], gap["best"], gap["worst"]) == (0.5, "A", "B")
    assert gap["difference"]["low"] > 0
    assert gap["low"] <= 0.5 <= gap["high"]
    assert "gap" not in fairness(rows("A", 5, 40, 0))["site"]
    assert fairness(rows("A", 5, 40, 0), ["sex"]) == {}


def test_all_of_a_set_must_be_right(row):
    rows = [
        row("Yes", "Yes", number=1, pair="p"),
        row("No", "No", number=2, pair="p"),
        row("Yes", "Yes", number=3, pair="q"),
        row("Yes", "No", number=4, pair="q"),
        row("Yes", "Yes", number=5, pair="alone"),
        row("Yes", "Yes", number=6),
    ]
    found = set_accuracy(rows)
    assert found["n"] == 2
    assert found["set_accuracy"]["value"] == 0.5
    assert found["single_accuracy"]["value"] == 0.75
    assert found["confusion"]["value"] == 0.5
    assert set_accuracy(rows[4:]) == {}


def test_the_threshold_stands_at_the_promised_place():
    questions = [Weighed(str(n), (share, 1 - share), 0) for n, share in enumerate((0.1, 0.3, 0.5, 0.7, 0.9) * 2)]
    # floor(0.2 * 11) = 2: the second of 0.1 0.1 0.3 ...
    assert fit_threshold(questions, 0.2) == pytest.approx(0.1)
    # floor(0.3 * 11) = 3.
    assert fit_threshold(questions, 0.3) == pytest.approx(0.3)
    assert fit_threshold(questions, 0.05) == 0


def test_conformal_sets_keep_their_promise_on_held_out_patients(row):
    lot = np.random.default_rng(0)
    rows = []
    for number in range(400):
        share = float(lot.uniform(0.5, 1))
        said_right = lot.random() < share
        truth = "Yes" if said_right else "No"
        rows.append(row("Yes", truth, number=number, shares=(("Yes", share), ("No", 1 - share))))
    found = conformal(rows, 0.1)
    assert found["promised"] == 0.9
    assert found["held"]
    assert abs(found["coverage"]["value"] - 0.9) < 0.02
    assert found["accuracy_when_answered"]["value"] > 0.85
    assert 0 < found["answered"]["value"] < 1
    assert conformal(rows[:30], 0.1) == {}


def test_a_broken_promise_is_told(row):
    # Four patients, each with one confidence in the truth throughout: the least of two calibration patients is no
    # bound for the other two, which number more in questions than they tell.
    rows = [
        row("Yes", "Yes", number=100 * patient + n, group=f"p{patient}", shares=(("Yes", sure), ("No", 1 - sure)))
        for patient, sure in enumerate((0.2, 0.4, 0.6, 0.8))
        for n in range(10)
    ]
    found = conformal(rows, 0.1)
    assert found["coverage"]["value"] < 0.8
    assert not found["held"]


def test_only_questions_whose_options_hold_the_truth_are_weighed(row):
    shares = (("Yes", 0.6), ("No", 0.4))
    rows = [row("Yes", "no", shares=shares), row("Yes", "left", shares=shares), row("Yes", "Yes")]
    assert [one.truth for one in weighed(rows)] == [1]


def test_temperature_scaling_brings_too_sure_answers_down(row):
    lot = np.random.default_rng(1)
    rows = [row("Yes", "Yes" if lot.random() < 0.7 else "No", number=number, confidence=0.97) for number in range(300)]
    found = calibration(rows)
    assert found["ece"] > 0.2
    assert found["temperature"]["fitted"] > 2
    assert found["temperature"]["cross_fitted"]["ece"] < 0.06
    assert found["intervals"]["ece"]["low"] <= found["ece"] <= found["intervals"]["ece"]["high"]
    assert calibration([row("a", "b", right=None)]) == {}


def test_a_temperature_leaves_an_even_chance_alone():
    assert fit_temperature([0.5] * 10, [1] * 10)([0.5]) == pytest.approx([0.5])


def test_abstention_tells_what_is_answered_and_why_not(row):
    rows = [row("Yes", "Yes", number=1), row("Yes", "No", number=2, stop="unsure"), row("No", "No", number=3)]
    found = abstention(rows)
    assert found["coverage"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["accuracy"]["value"] == 1
    assert found["accuracy_of_withheld"]["value"] == 0
    assert found["for"] == {"unsure": 1}


def test_any_number_of_answers_has_an_interval_by_groups():
    values = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    groups = ["a", "a", "b", "b", "c", "c"]
    found = bootstrap_of(lambda at: float(values[at].mean()), groups, resamples=500)
    same = bootstrap_ratio(values, np.ones(6), groups)
    assert (found.value, found.n) == (pytest.approx(4 / 6), 6)
    assert (found.low, found.high) == pytest.approx((same.low, same.high), abs=0.34)
