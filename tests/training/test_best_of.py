"""Best-of-n pairs: which two answers are taken, who judges, and what is refused."""

from __future__ import annotations

import pytest

from assistant.errors import ConfigError, DataError
from data_recipes.schema import read_examples, read_preferences, write_examples
from training.best_of import Drawing, find_judge, pair_of, write_pairs
from training.self_pairs import main


@pytest.fixture(scope="module")
def asked(phantom_data):
    """Four yes-or-no questions on phantoms, beside the pictures."""
    found = [one for one in read_examples(phantom_data) if one.answer_type == "closed" and len(one.images) == 1][:4]
    path = phantom_data.parent / "best.jsonl"
    write_examples(path, found)
    return path


def test_the_best_is_paired_with_the_worst_nearest_in_length(asked):
    example = next(iter(read_examples(asked)))
    scores = {"one": 1.0, "one two three": 1.0, "a": 0.5, "x y z": 0.2, "x": 0.2, "  ": 0.0}
    pair = pair_of(example, scores, gap=0.5, reason="lower finding_f1")
    assert (pair.chosen, pair.rejected) in (("one", "x"), ("one two three", "x y z"))
    assert (pair.reason, pair.images, pair.patient) == ("lower finding_f1", example.images, example.patient)
    assert pair.messages == example.messages[:-1]
    assert pair_of(example, scores, gap=0.9, reason="r") is None
    assert pair_of(example, {"a": 0.5, "b": 0.5}, gap=1e-9, reason="r") is None
    assert pair_of(example, {}, gap=0.1, reason="r") is None


def test_a_reward_that_can_be_checked_judges(asked):
    examples = list(read_examples(asked))
    texts = [[one.messages[-1]["content"], "nothing of the kind"] for one in examples]
    assert find_judge("answer_match", examples, asked.parent)(examples, texts) == [[1.0, 0.0]] * 4


def test_a_reward_model_judges_what_a_model_draws(wide_folder, learned_reward, asked, tmp_path, capsys):
    command = [
        "--model",
        str(wide_folder),
        "--data",
        str(asked),
        "--judge",
        str(learned_reward),
        "--out",
        str(tmp_path / "own"),
    ]
    assert main([*command, "--samples", "3", "--gap", "1e-6", "--max-new-tokens", "6"]) == 0
    assert "pairs of 4 questions in" in capsys.readouterr().out
    pairs = list(read_preferences(tmp_path / "own" / "preferences.jsonl"))
    assert pairs
    assert {one.reason for one in pairs} == {"lower learned reward"}
    assert all(path.is_file() for one in pairs for path in one.image_paths(tmp_path / "own"))
    examples = {one.id: one for one in read_examples(asked)}
    own = [examples[one.id.removesuffix("~own")] for one in pairs]
    scores = find_judge(str(learned_reward), own, asked.parent)(own, [[one.chosen, one.rejected] for one in pairs])
    assert all(first > second for first, second in scores)
    assert main(command) == 2
    assert "already holds preferences" in capsys.readouterr().err


def test_what_cannot_be_judged_is_refused(wide_folder, phantom_data, asked, tmp_path):
    examples = list(read_examples(phantom_data))
    with pytest.raises(DataError, match=r"\d+ of \d+ examples cannot be judged by finding_f1, first .* it needs a rep"):
        find_judge("finding_f1", examples, phantom_data.parent)
    with pytest.raises(ConfigError, match=r"judge is 'bleu'; choose from answer_match, .* or give a folder"):
        find_judge("bleu", examples, phantom_data.parent)
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(DataError, match=r"none\.jsonl holds no examples"):
        write_pairs(str(wide_folder), tmp_path / "none.jsonl", tmp_path / "o", judge="brevity", drawing=Drawing())
    with pytest.raises(ConfigError, match=r"gap is 0; scores lie between 0 and 1"):
        write_pairs(str(wide_folder), asked, tmp_path / "o", judge="brevity", drawing=Drawing(), gap=0)
    with pytest.raises(ConfigError, match="samples is 1; a pair takes two answers"):
        write_pairs(str(wide_folder), asked, tmp_path / "o", judge="brevity", drawing=Drawing(samples=1))
    with pytest.raises(ConfigError, match="temperature is 0; equal answers make no pair"):
        write_pairs(str(wide_folder), asked, tmp_path / "o", judge="brevity", drawing=Drawing(temperature=0))


def test_only_examples_of_the_wanted_task_are_answered(wide_folder, phantom_data, tmp_path):
    reports = sum(one.task == "report" for one in read_examples(phantom_data))
    drawing = Drawing(samples=2, max_new_tokens=3)
    with pytest.raises(DataError, match=rf"none of {reports} questions has two answers"):
        write_pairs(str(wide_folder), phantom_data, tmp_path / "a", judge="finding_f1", drawing=drawing, task="report")
    with pytest.raises(DataError, match=r"holds no examples of task 'chat'"):
        write_pairs(str(wide_folder), phantom_data, tmp_path / "a", judge="brevity", drawing=drawing, task="chat")


def test_answers_that_are_all_alike_make_no_pair(wide_folder, asked, tmp_path):
    drawing = Drawing(samples=2, max_new_tokens=3)
    with pytest.raises(DataError, match=r"none of 4 questions has two answers that are 0\.3 apart"):
        write_pairs(str(wide_folder), asked, tmp_path / "own", judge="no_prior", drawing=drawing)
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "samples is 0; use 1 or more"),
        ({"temperature": -0.5}, r"temperature is -0\.5; use 0 for the likeliest answer, or a number above"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0; use 1 or more"),
    ],
)
def test_drawings_that_cannot_be_meant_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Drawing(**changes)


def test_an_unknown_judge_is_an_error_of_usage(wide_folder, asked, tmp_path, capsys):
    command = ["--model", str(wide_folder), "--data", str(asked), "--judge", "bleu", "--out", str(tmp_path / "own")]
    assert main(command) == 2
    assert "error: judge is 'bleu'" in capsys.readouterr().err
