"""Rewards, worked by hand."""

from __future__ import annotations

import pytest

from data_recipes.schema import Example
from training.rewards import REWARDS, final_answer


def example(answer, task="vqa", answer_type="open", images=("a.png",), **fields):
    talk = [{"role": "user", "content": "Ask"}, {"role": "assistant", "content": answer}]
    return Example("e", images, talk, task, answer_type, source="own", licence="CC0-1.0", **fields)


def report(*findings):
    listed = [dict(zip(("name", "side", "zone"), one, strict=True)) for one in findings]
    return example("Findings: None.", "report", "report", truth={"kind": "head_ct", "findings": listed})


MASS, BLEED = ("mass", "left", "anterior"), ("hemorrhage", "right", "middle")
SAID = "Findings: There is a mass in the left anterior part. There is a hemorrhage in the left middle part."


@pytest.mark.parametrize(
    ("name", "text", "asked", "expected"),
    [
        ("answer_match", "Yes.", example("yes", answer_type="closed"), 1.0),
        ("answer_match", "No", example("yes", answer_type="closed"), 0.0),
        ("answer_match", "A cyst", example("Cyst", answer_type="choice", choices=("Cyst", "Mass")), 1.0),
        ("answer_match", "Mass", example("Cyst", answer_type="choice", choices=("Cyst", "Mass")), 0.0),
        ("answer_match", "right lung", example("Right lung"), 1.0),
        # Words shared: right; 2 * 1 / (2 + 2).
        ("answer_match", "right kidney", example("right lung"), 0.5),
        ("answer_match", "right upper lung zone", example("right lung"), 0.5),  # 4 / 6, held at a half
        ("answer_match", "liver", example("right lung"), 0.0),
        ("answer_match", "<think>Left?</think><answer>Right lung</answer>", example("Right lung"), 1.0),
        ("finding_f1", SAID, report(MASS, BLEED), 0.5),
        ("finding_f1", SAID, report(MASS), 2 / 3),
        ("finding_f1", "Findings: No mass.", report(), 1.0),
        ("finding_f1", SAID, report(), 0.0),
        ("finding_places", SAID, report(MASS, BLEED), 0.5),
        ("finding_places", SAID, report(MASS), 1.0),
        ("finding_places", "Findings: No mass.", report(MASS), 0.0),
        ("finding_places", SAID, report(), 1.0),
        ("no_prior", "The mass is unchanged since the prior study.", report(MASS), 0.0),
        ("no_prior", "There is a mass.", report(MASS), 1.0),
        ("no_prior", "The mass is unchanged since the prior study.", example("x", images=("a.png", "b.png")), 1.0),
        ("think_format", "<think>Dark.</think>\n<answer>CT</answer>", example("CT"), 1.0),
        ("think_format", "<think>Dark.</think><answer>CT</answer> Done.", example("CT"), 0.0),
        ("think_format", "<think>a<think>b</think><answer>CT</answer>", example("CT"), 0.0),
        ("think_format", "CT", example("CT"), 0.0),
        ("brevity", "one two three four five six", example("one two three four five"), 1.0),
        ("brevity", "one two three four five six seven eight nine", example("one two three four five"), 0.5),
        ("brevity", "x " * 12, example("one two three four five"), 0.0),
    ],
)
def test_reward_by_hand(name, text, asked, expected):
    assert REWARDS[name].applies(asked)
    assert REWARDS[name].score(text, asked) == pytest.approx(expected)


def test_what_cannot_be_judged_is_known_beforehand():
    unknown = example("Findings: A mass.", "report", "report")
    assert not REWARDS["finding_f1"].applies(unknown)
    assert not REWARDS["answer_match"].applies(unknown)
    assert not REWARDS["answer_match"].applies(example("A phantom.", "caption"))
    assert all(REWARDS[name].applies(unknown) for name in ("no_prior", "think_format", "brevity"))


def test_every_reward_stays_between_0_and_1_and_never_fails_on_odd_text():
    odd = ["", " ", "</answer><answer>", "<think></think><answer></answer>", "No.", "left " * 400, "\x00é½"]
    for reward in REWARDS.values():
        for asked in (example("A", answer_type="closed"), report(MASS), report()):
            assert all(0 <= reward.score(text, asked) <= 1 for text in odd)


def test_the_last_word_counts():
    assert final_answer("<think>no</think><answer> yes </answer>") == "yes"
    assert final_answer(" yes ") == "yes"
