"""Files through a reward model: pairs, answers, thumbs, predictions, and what is refused."""

from __future__ import annotations

import json

import pytest

from data_recipes.judged import Judged, write_judged
from data_recipes.schema import read_examples, write_examples
from training import judge


@pytest.fixture(scope="module")
def answers(reward_pairs):
    """Six examples, beside the pictures of the phantoms."""
    source = reward_pairs.parent / "phantoms" / "train.jsonl"
    found = [one for one in read_examples(source) if one.answer_type == "closed"][:6]
    write_examples(source.parent / "six.jsonl", found)
    return source.parent / "six.jsonl"


def run_judge(*arguments, capsys):
    code = judge.main([str(one) for one in arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_preferences_are_scored_and_counted(learned_reward, reward_pairs, tmp_path, capsys):
    out = tmp_path / "deep" / "scores.jsonl"
    code, told, _ = run_judge(learned_reward, reward_pairs / "dev.jsonl", "--out", out, "--limit", 10, capsys=capsys)
    assert code == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 10
    right = sum(one["chosen"] > one["rejected"] for one in lines) / 10
    assert f"| all | 10 | {right:.1%} |" in told
    assert lines[0]["reason"] == "mentions a prior"


def test_answers_and_judged_answers_and_predictions_are_scored(learned_reward, answers, tmp_path, capsys):
    code, told, mean = run_judge(learned_reward, answers, capsys=capsys)
    lines = [json.loads(line) for line in told.splitlines()]
    assert (code, len(lines)) == (0, 6)
    assert mean.startswith("all: 6 answers, mean reward")
    examples = list(read_examples(answers))
    thumbs = answers.with_name("thumbs.jsonl")
    write_judged(thumbs, [Judged(one, place < 2) for place, one in enumerate(examples)])
    _, told, mean = run_judge(learned_reward, thumbs, capsys=capsys)
    assert [json.loads(line)["reward"] for line in told.splitlines()] == [one["reward"] for one in lines]
    assert "wanted: 2 answers" in mean
    assert "unwanted: 4 answers" in mean
    said = tmp_path / "predictions.jsonl"
    said.write_text("".join(json.dumps({"id": one.id, "prediction": "unchanged"}) + "\n" for one in examples))
    _, told, _ = run_judge(learned_reward, answers, "--predictions", said, capsys=capsys)
    assert [json.loads(line)["reward"] for line in told.splitlines()] != [one["reward"] for one in lines]


def test_what_cannot_be_scored_is_refused(learned_reward, reward_pairs, answers, tmp_path, capsys):
    (tmp_path / "none.jsonl").write_text("")
    short = tmp_path / "short.jsonl"
    short.write_text(json.dumps({"id": "x", "prediction": "yes"}) + "\n")
    broken = tmp_path / "broken.jsonl"
    broken.write_text(json.dumps({"id": "x"}) + "\n")
    mixed = answers.with_name("mixed.jsonl")
    mixed.write_text(answers.read_text() + (reward_pairs / "dev.jsonl").read_text())
    for arguments, message in (
        ((tmp_path / "none.jsonl",), "holds no answers"),
        ((answers, "--predictions", short), "6 of 6 examples of"),
        ((answers, "--predictions", broken), "a line has no id or no prediction"),
        ((reward_pairs / "dev.jsonl", "--predictions", short), "holds preferences, which have both answers"),
        ((mixed,), "holds preferences and single answers; put them into two files"),
    ):
        code, _, told = run_judge(learned_reward, *arguments, capsys=capsys)
        assert code == 2
        assert message in told
    code, _, told = run_judge(tmp_path, answers, capsys=capsys)
    assert (code, "is no reward model" in told) == (2, True)
