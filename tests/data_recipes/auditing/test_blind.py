"""What questions alone give away."""

from __future__ import annotations

import pytest

from data_recipes.auditing.blind import blind_answers, blind_baseline, verdicts
from data_recipes.auditing.tally import Asked


def asked(question: str, answer: str, kind: str = "closed", choices: tuple[str, ...] = (), group: str = "") -> Asked:
    return Asked(question, answer, kind, choices, group or question)


def test_answers_that_the_wording_gives_away_are_found_blind():
    train = [asked(f"is there a {name} in the picture", "yes") for name in ("cyst", "mass", "node")] * 5
    train += [asked(f"can the {name} be ruled out", "no") for name in ("bleed", "stone", "clot")] * 5
    dev = [asked("is there a tumour in the picture", "yes", group=f"a{n}") for n in range(10)]
    dev += [asked("can the fracture be ruled out", "no", group=f"b{n}") for n in range(10)]
    scores = blind_baseline(train, dev, "dev").scores["closed"]
    assert (scores["blind"].value, scores["commonest"].value) == (1.0, 0.5)
    assert scores["blind"].n == 20
    told = verdicts([blind_baseline(train, dev, "dev")])
    assert told == [
        "dev: 100% of the closed questions are answered without the picture (50% by the commonest answer); "
        "a model must do better than that to have looked."
    ]


def test_answers_that_only_the_picture_tells_are_not_found_blind():
    train = [asked("is there a mass", answer) for answer in ("yes", "no")] * 20
    dev = [asked("is there a mass", answer, group=f"{answer}{n}") for answer in ("yes", "no") for n in range(50)]
    one = blind_baseline(train, dev, "dev")
    score = one.scores["closed"]["blind"]
    assert score.value == 0.5
    assert 0.35 < score.low < 0.5 < score.high < 0.65
    assert verdicts([one]) == []


def test_a_choice_is_taken_from_its_own_choices_and_open_answers_get_word_recall():
    train = [asked("which organ", "liver", "choice", ("liver", "lung"))] * 3
    assert blind_answers(train, [asked("which organ", "?", "choice", ("lung", "spleen"))]) == ["lung"]
    open_train = [asked("where is it", "left upper lobe", "open")]
    found = blind_baseline(open_train, [asked("where is it", "right upper lobe", "open")], "dev").scores["open"]
    assert found["blind"].value == 0
    assert found["recall"].value == pytest.approx(2 / 3)


def test_the_interval_is_wider_when_few_patients_stand_behind_many_questions():
    train = [asked("q", "yes")]
    many = [asked("q", "yes" if n % 2 else "no", group=f"p{n}") for n in range(100)]
    few = [asked("q", "yes" if n % 2 else "no", group=f"p{n % 4}") for n in range(100)]
    wide, narrow = (blind_baseline(train, data, "dev").scores["closed"]["blind"] for data in (few, many))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_kinds_that_training_lacks_are_left_out_and_empty_questions_do_no_harm():
    assert blind_baseline([asked("", "yes")], [asked("", "yes"), asked("q", "b", "open")], "test").scores.keys() == {
        "closed"
    }
