"""Two runs on the same questions: paired numbers, McNemar's test, and the refusal of other data."""

from __future__ import annotations

import json

import pytest

from assistant.errors import DataError
from training.compare import main
from training.evaluation.comparison import compare_lines, mcnemar, read_predictions


def _lines(right, **more):
    return [
        {
            "id": f"q{n}", "question": "Is it?", "truth": "Yes", "prediction": "Yes" if one else "No",
            "answer_type": "closed", "right": one, "group": f"p{n}", "source": "made", **more,
        }
        for n, one in enumerate(right)
    ]  # fmt: skip


def test_mcnemar_is_the_exact_binomial_test():
    # 2 * (1 + 10) / 2 ** 10.
    assert mcnemar(9, 1) == pytest.approx(22 / 1024)
    assert mcnemar(1, 9) == mcnemar(9, 1)
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 0) == 1


def test_runs_are_compared_question_by_question():
    ours = _lines([True] * 40 + [False] * 20)
    theirs = _lines([True] * 25 + [False] * 35)
    found = compare_lines(ours, theirs, name="before")
    right = found["right"]
    assert (right["only_ours_right"], right["only_theirs_right"]) == (15, 0)
    assert right["difference"]["value"] == 0.25
    assert right["difference"]["low"] > 0.1
    assert right["mcnemar_p"] == pytest.approx(2 / 2**15, rel=1e-2)
    assert found["by"]["source"]["made"]["n"] == 60
    assert found["verdict"].startswith("Against before on 60 shared questions: 66.7% right against 41.7%, a difference")
    assert found["verdict"].endswith("More than chance.")


def test_a_small_difference_may_be_chance():
    found = compare_lines(_lines([True, True, False]), _lines([True, False, True]))
    assert found["right"]["difference"]["value"] == 0
    assert found["verdict"].endswith("That may be chance.")


def test_open_answers_are_compared_by_their_words():
    ours = _lines([True], answer_type="open", truth="left lung", prediction="left lung")
    theirs = _lines([False], answer_type="open", truth="left lung", prediction="left")
    assert compare_lines(ours, theirs)["open_recall"]["difference"]["value"] == 0.5


def test_only_shared_questions_count_and_the_rest_is_told():
    found = compare_lines(_lines([True, True]), _lines([True]))
    assert (found["n"], found["left_out"]) == (1, {"ours": 1, "theirs": 0})


def test_runs_on_other_data_are_refused():
    with pytest.raises(DataError, match=r"x shares no question id with this run"):
        compare_lines(_lines([True]), [{**_lines([True])[0], "id": "other"}], name="x")
    with pytest.raises(DataError, match=r"x was run on other data: 1 ids, 'q0' first, name another question"):
        compare_lines(_lines([True]), _lines([True], truth="No"), name="x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"p\.jsonl holds no prediction"),
        ("{}\n", r"p\.jsonl:1 lacks id, question, truth, prediction, answer_type, right"),
        ("no json\n", r"p\.jsonl:1 is no JSON"),
        (2 * (json.dumps(_lines([True])[0]) + "\n"), r"p\.jsonl:2 repeats the id 'q0' of line 1"),
    ],
)
def test_a_file_of_predictions_that_cannot_be_used_is_refused(text, message, tmp_path):
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        read_predictions(tmp_path / "p.jsonl")
    with pytest.raises(DataError, match=r"none\.jsonl cannot be read"):
        read_predictions(tmp_path / "none.jsonl")


def test_the_command_prints_a_table_or_an_object(tmp_path, capsys):
    for name, right in (("a", [True, False]), ("b", [False, False])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in _lines(right)))
    files = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    assert main(files) == 0
    assert "| right | 2 | 50.0 %" in capsys.readouterr().out
    assert main([*files, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["right"]["only_ours_right"] == 1
    assert main([files[0], str(tmp_path / "none.jsonl")]) == 2
    assert "cannot be read" in capsys.readouterr().err
