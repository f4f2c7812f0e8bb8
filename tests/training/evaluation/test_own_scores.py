"""Our scorers of whole texts and reports, against values worked out by hand or a library's own."""

from __future__ import annotations

import math

import pytest
from sacrebleu.metrics.bleu import BLEU

from assistant.errors import ConfigError
from training.evaluation.own_scores import QUESTION_SCORES, REPORT_SCORES
from training.evaluation.scorer import Pair
from training.evaluation.scorers import built_in, find_scorers
from training.evaluation.text_scores import meteor, rouge_l

SCORES = {one.name: one for one in (*QUESTION_SCORES, *REPORT_SCORES)}


def _report(prediction: str, truth: str, **more: object) -> Pair:
    return Pair(prediction, truth, "report", "report", **more)


def test_bleu_of_a_set_is_sacrebleus() -> None:
    said = ["no pleural effusion is seen here today", "the heart is normal in size", "clear"]
    true = ["no pleural effusion is seen today", "the heart is enlarged in its size", "the lungs are clear"]
    found = SCORES["bleu4"].score([_report(a, b) for a, b in zip(said, true, strict=True)], "abc")
    whole = BLEU(lowercase=True, smooth_method="none").corpus_score(said, [true])
    assert found.value == pytest.approx(whole.score / 100)
    assert found.low <= found.value <= found.high


def test_bleu_agrees_with_a_value_worked_out_by_hand() -> None:
    # Shared n-grams 5 of 6, 4 of 5, 3 of 4, 2 of 3; same length, so no penalty.
    pair = _report("no pleural effusion is seen here", "no pleural effusion is seen today")
    assert SCORES["bleu4"].score([pair], "a").value == pytest.approx((5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)
    # One word short of 6: all n-grams shared, penalty exp(1 - 6 / 5).
    short = _report("no pleural effusion is seen", "no pleural effusion is seen today")
    assert SCORES["bleu4"].score([short], "a").value == pytest.approx(math.exp(-0.2))
    assert SCORES["bleu4"].score([_report("no effusion", "clear lungs")], "a").value == 0


def test_rouge_l_follows_the_longest_common_subsequence() -> None:
    # "police the gunman" of 4 and 4 words.
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(3 / 4)
    assert rouge_l("", "") == 1
    assert rouge_l("", "gunman") == 0


def test_meteor_counts_words_and_stems_but_no_synonyms() -> None:
    # 1 match of 1: F 1, one run of one match: penalty 0.5.
    assert meteor("effusion", "effusion") == pytest.approx(0.5)
    # Stems agree: two matches in one run of two: penalty 0.5 * (1 / 2) ** 3.
    assert meteor("pleural effusions", "pleural effusion") == pytest.approx(1 - 0.5 / 8)
    # Precision 1, recall 1/2: F = 10 P R / (R + 9 P) = 5 / 9.5; one run of two matches.
    assert meteor("left lung", "small left lung nodule") == pytest.approx(5 / 9.5 * (1 - 0.5 / 8))
    assert meteor("big", "large") == 0
    assert meteor("", "") == 1


def test_findings_of_reports_are_summed_before_they_are_divided() -> None:
    pairs = [
        _report("Left effusion. Right nodule.", "Left effusion."),
        _report("No effusion.", "Right pneumothorax. Cardiomegaly."),
    ]
    scores = {name: SCORES[f"finding_{name}"].score(pairs, "ab").value for name in ("precision", "recall", "f1")}
    assert scores == pytest.approx({"precision": 1 / 2, "recall": 1 / 3, "f1": 2 / 5})


def test_the_wrong_side_is_a_wrong_finding() -> None:
    assert SCORES["finding_f1"].score([_report("Left effusion.", "Right effusion.")], "a").value == 0


def test_sentences_on_change_count_where_no_prior_was_given_and_before_they_were_taken_out() -> None:
    pairs = [
        _report("Clear.", "Clear.", written="Clear. The effusion has resolved. It is unchanged."),
        _report("Unchanged.", "Clear.", has_prior=True),
        _report("Clear.", "Clear."),
    ]
    found = SCORES["prior_sentences_per_report"].score(pairs, "abc")
    assert (found.value, found.n) == (1.0, 2)


def test_the_length_ratio_is_of_all_words() -> None:
    pairs = [_report("one two three", "one"), _report("one", "one two three four five")]
    assert SCORES["length_ratio"].score(pairs, "ab").value == pytest.approx(4 / 6)


def test_a_score_of_nothing_is_none() -> None:
    assert SCORES["bleu4"].score([Pair("yes", "yes", "closed")], "a") is None
    assert SCORES["finding_f1"].score([_report("Clear.", "Clear.")], "a") is None


def test_scorers_are_found_by_name_or_by_peer() -> None:
    names = {one.name for one in built_in()}
    assert len(names) == len(built_in())
    assert [one.name for one in find_scorers(["open_recall"])] == ["open_recall"]
    assert {one.name for one in find_scorers(["llava_med"])} == {
        name for name in names if name.startswith("llava_med.")
    }
    with pytest.raises(ConfigError, match=r"No scorer is called gpt4\. There are: closed_accuracy, "):
        find_scorers(["llava_med", "gpt4"])


@pytest.mark.parametrize("scorer", built_in(), ids=lambda one: one.name)
def test_every_scorer_states_rule_and_source_and_has_an_interval(scorer) -> None:
    pairs = [
        Pair("yes", "Yes", "closed"),
        Pair("left lung", "left lung", "open"),
        Pair("a", "a", "choice", choices=("a", "b")),
        _report("Left effusion seen today in the lung.", "Left effusion seen today in the lung."),
        Pair("a chest x-ray of it", "a chest x-ray of it", "open", "caption"),
    ]
    found = scorer.score(pairs, "abcde")
    assert scorer.rule.endswith(".")
    assert scorer.source
    assert 0 <= found.low <= found.value <= found.high
    assert found.n >= 1
