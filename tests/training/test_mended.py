"""Pairs of a model's own answers that differ in one sentence: what is taken out, what is left out, what is refused."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from assistant.errors import DataError
from data_recipes.schema import read_examples, read_preferences, write_examples
from training.best_of import Drawing
from training.mended import PRIOR, SHORTENED, mended_pairs, shortened, without_priors, write_mended
from training.self_pairs import main

REPORT = (
    "Technique: CT of the head.\n"
    "Findings: 1. Mass: side left. 2. Cyst: side right. No nodule.{}\n"
    "Impression: Mass on the left."
)


@pytest.fixture(scope="module")
def reports(phantom_data):
    """Three reports on one phantom each, beside the pictures."""
    found = [one for one in read_examples(phantom_data) if one.task == "report" and len(one.images) == 1][:3]
    path = phantom_data.parent / "mended.jsonl"
    write_examples(path, found)
    return path


def test_what_speaks_of_a_prior_is_taken_out_and_all_else_stays_word_for_word():
    assert without_priors(REPORT.format(" Again seen is the known finding.")) == REPORT.format("")
    assert without_priors(REPORT.format("")) == REPORT.format("")
    assert without_priors("- A  nodule.\n- It is unchanged.\n- No effusion.") == "- A  nodule.\n- No effusion."


def test_the_section_on_change_goes_but_no_other_is_emptied():
    compared = "Findings: No nodule.\nComparison: Stable since the prior study.\nImpression: Normal."
    assert without_priors(compared) == "Findings: No nodule.\nImpression: Normal."
    assert without_priors("Findings: No nodule.\nImpression: Unchanged.") is None
    assert without_priors("It is unchanged.") is None


def test_a_shortened_report_misses_one_sentence_of_its_findings_and_numbers_have_no_gap():
    found = {shortened(REPORT.format(""), random.Random(seed)) for seed in range(20)}
    lines = [line for text in found for line in text.split("\n") if line.startswith("Findings")]
    assert sorted(lines) == [
        "Findings: 1. Mass: side left. 2. Cyst: side right.",
        "Findings: 1. Mass: side left. No nodule.",
    ]
    assert all(text.endswith("Impression: Mass on the left.") for text in found)
    assert shortened("There is a mass. No nodule.", random.Random(0)) in ("There is a mass.", "No nodule.")
    assert shortened("Findings: No nodule.\nImpression: Normal. No mass.", random.Random(0)) is None


def test_as_many_pairs_are_about_a_sentence_too_few_as_about_one_too_many(reports):
    examples = list(read_examples(reports))
    spoilt, plain = REPORT.format(" It is unchanged."), REPORT.format("")
    pairs = mended_pairs(examples, [[spoilt, spoilt], [plain], [plain, "It is unchanged."]])
    assert [one.reason for one in pairs] == [PRIOR, SHORTENED]
    assert (pairs[0].chosen, pairs[0].rejected) == (plain, spoilt)
    assert pairs[1].chosen == plain
    assert pairs[1].rejected in {shortened(plain, random.Random(seed)) for seed in range(20)}
    assert pairs[0].messages == examples[0].messages[:-1]
    assert [one.reason for one in mended_pairs(examples, [[spoilt], [plain], []], balanced=False)] == [PRIOR]
    assert mended_pairs(examples, [[plain]] * 3) == []


def test_a_model_with_the_habit_is_paired_with_itself_without_it(wide_folder, reports, tmp_path, capsys, monkeypatch):
    command = ["--model", str(wide_folder), "--data", str(reports), "--mend", "priors", "--out", str(tmp_path / "own")]
    assert main([*command, "--max-new-tokens", "3"]) == 2
    assert "none of 3 answers speaks of a prior in a sentence that can be taken out" in capsys.readouterr().err
    spoilt = REPORT.format(" It is unchanged.")
    # A model of random weights writes no sentences, so that what it says is given here.
    monkeypatch.setattr("training.mended.draw", lambda writer, examples, root, drawing: [[spoilt]] * len(examples))
    assert main(command) == 0
    assert "6 pairs of 3 questions in" in capsys.readouterr().out
    pairs = list(read_preferences(tmp_path / "own" / "preferences.jsonl"))
    assert len({one.id for one in pairs}) == 6
    assert all(path.is_file() for one in pairs for path in one.image_paths(tmp_path / "own"))
    assert main(command) == 2
    assert "already holds preferences" in capsys.readouterr().err


def test_examples_that_may_have_a_prior_are_passed_over(wide_folder, reports, tmp_path):
    first, second, _ = read_examples(reports)
    several = reports.parent / "several.jsonl"
    write_examples(several, [replace(first, images=(*first.images, *second.images))])
    with pytest.raises(DataError, match=r"several\.jsonl holds only examples of several images, which may have a pri"):
        write_mended(str(wide_folder), several, tmp_path / "o", drawing=Drawing())


def test_one_way_of_making_pairs_is_chosen(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--model", "m", "--data", "d", "--out", str(tmp_path), "--judge", "no_prior", "--mend", "priors"])
    assert "argument --mend: not allowed with argument --judge" in capsys.readouterr().err
