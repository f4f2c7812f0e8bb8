"""The experiments on ways of tuning: what they measure, by hand, and one run from end to end."""

from __future__ import annotations

import json

import pytest

from benchmarks import methods
from benchmarks.methods import hard_questions, main, own_pairs, reports_of, table
from benchmarks.written import score_answers, score_reports
from data_recipes.phantom_text import report_findings


@pytest.fixture(scope="module")
def phantoms(make_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("methods") / "phantoms"
    make_data("phantom", None, root, limit=30, seed=3)
    return root


def test_reports_are_scored_by_findings_priors_and_length(phantoms):
    reports = [one for one in reports_of(phantoms / "train.jsonl") if one.truth["findings"]][:4]
    texts = [one.messages[-1]["content"] for one in reports]
    right = score_reports(texts, reports)
    assert (right.f1, right.prior) == (1.0, 0.0)
    spoilt = [f"{texts[0]} It is unchanged.", *texts[1:3], "Findings: No abnormality."]
    score = score_reports(spoilt, reports)
    assert score.prior == pytest.approx(0.25)
    shared = sum(len(report_findings(text)) for text in texts[:3])
    assert score.f1 == pytest.approx(2 * shared / (2 * shared + len(report_findings(texts[3]))))
    assert score.words < right.words + 1


def test_answers_are_right_or_wrong(phantoms):
    asked = hard_questions(phantoms / "train.jsonl")[:4]
    truths = [one.messages[-1]["content"] for one in asked]
    assert score_answers(truths, asked) == 1.0
    assert score_answers(["nothing of the kind", *truths[1:]], asked) == 0.75


def test_hard_questions_ask_for_numbers_and_findings(phantoms):
    asked = {one.messages[0]["content"].lower() for one in hard_questions(phantoms / "train.jsonl")}
    assert asked
    assert all(any(word in one for word in ("how many", "count", "finding", "abnormal")) for one in asked)


def test_a_table_gives_mean_and_range():
    assert table([{"F1": 0.5}, {"F1": 0.75}]).splitlines()[-1] == "| F1 | 0.625 | 0.5 | 0.75 |"


class Scripted:
    """A writer whose reports on each picture are known."""

    def __init__(self, drawn):
        self.drawn = iter(drawn)

    def write(self, examples, root, **settings):
        return next(self.drawn)


def test_a_models_own_reports_are_paired_best_with_worst_and_of_like_length(phantoms, monkeypatch):
    report = next(one for one in reports_of(phantoms / "train.jsonl") if len(one.truth["findings"]) == 1)
    true = report.messages[-1]["content"]
    wordy = f"{true} The image is of good quality and shows what was asked for."
    drawn = [
        [true, true],
        ["Findings: None.", true],
        ["Findings: None. Nothing else is to be said.", true],
        [wordy, true],
    ]
    monkeypatch.setattr(methods, "Writer", lambda model: Scripted(drawn))
    (pair,) = own_pairs("any", [report, report], phantoms, samples=4, seed=0)
    assert (pair.chosen, pair.rejected) == (true, "Findings: None. Nothing else is to be said.")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["priors", "factuality", "rewards", "judging"])
def test_each_experiment_runs_and_does_not_run_twice(tmp_path, capsys, name):
    command = [name, "--out", str(tmp_path), "--seeds", "1", "--scale", "0.06"]
    assert main(command) == 0
    told = capsys.readouterr().out
    file = tmp_path / name / "0" / "row.json"
    written = file.stat().st_mtime_ns
    assert main(command) == 0
    assert capsys.readouterr().out == told
    assert file.stat().st_mtime_ns == written
    assert len(told.splitlines()) == 2 + len(json.loads(file.read_text()))
