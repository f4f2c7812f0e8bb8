"""A file of predictions is scored without a model, whoever made it."""

from __future__ import annotations

import json

import pytest

from assistant.errors import DataError
from training.score import main, read_lines, score_lines


@pytest.fixture
def file(tmp_path):
    """A peer's predictions: four lines, with nothing but what is needed."""
    lines = [
        {"prediction": "No, it is abnormal", "truth": "no", "answer_type": "closed"},
        {"prediction": "The answer is yes", "truth": "no", "answer_type": "closed"},
        {"prediction": "in the left lung", "truth": "left lung", "answer_type": "open"},
        {"prediction": "B", "truth": "Cyst", "answer_type": "choice", "choices": ["Mass", "Cyst"]},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "p.jsonl"


def test_each_rule_gives_its_own_number(file):
    found = {name: one["value"] for name, one in score_lines(read_lines(file)).items()}
    assert found["closed_accuracy"] == 0.5
    assert found["llava_med.closed"] == 0.5
    assert found["llava_med.closed_as_written"] == 1
    assert found["medevalkit.judgement"] == 0.5
    assert found["open_recall"] == 1
    assert found["medevalkit.exact_match"] == 0
    assert found["medevalkit.choice"] == 1
    assert found["choice_accuracy"] == 0


def test_our_own_runs_can_be_scored_again(tiny_folder, small_data, tmp_path):
    from training.evaluate import main as evaluate

    common = ["--model", str(tiny_folder), "--data", str(small_data), "--limit", "9"]
    assert evaluate([*common, "--out", str(tmp_path / "run")]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    lines = read_lines(tmp_path / "run" / "predictions.jsonl")
    assert len(lines) == metrics["n"]
    again = score_lines(lines)
    for name in ("closed_accuracy", "choice_accuracy", "open_recall"):
        assert {key: again[name][key] for key in metrics[name]} == metrics[name]
    assert again["llava_med.open_recall"] == metrics["scorers"]["llava_med.open_recall"]


def test_the_command_prints_a_table_or_an_object(file, capsys):
    assert main([str(file), "--scorers", "llava_med"]) == 0
    assert "| llava_med.closed | 2 | 50.0 %" in capsys.readouterr().out
    assert main([str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["open_recall"]["n"] == 1
    assert main([str(file), "--scorers", "gpt4"]) == 2
    assert "No scorer is called gpt4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"p\.jsonl holds no prediction"),
        ("{", r"p\.jsonl:1 is no JSON"),
        ('{"prediction": "a", "truth": 1, "answer_type": "open"}', r"p\.jsonl:1 has no text under 'truth'"),
        ('{"prediction": "a", "truth": "b", "answer_type": "OPEN"}', r"p\.jsonl:1: answer_type is 'OPEN'; use one of"),
    ],
)
def test_a_line_that_cannot_be_scored_is_named(text, message, tmp_path):
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        read_lines(tmp_path / "p.jsonl")
