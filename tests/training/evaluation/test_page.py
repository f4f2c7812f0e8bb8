"""The page, the plots and the leaderboard, as a run on a tiny model writes them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from assistant.errors import DataError
from training.evaluate import main
from training.evaluation.leaderboard import add_line, read_lines, render
from training.evaluation.page_html import number, table
from training.evaluation.plots import draw_plots, wilson
from training.leaderboard import main as show


@pytest.fixture(scope="module")
def run(tiny_folder, small_data, tmp_path_factory):
    """A folder with two runs on the same data, the second compared with the first."""
    root = tmp_path_factory.mktemp("runs")
    common = ["--model", str(tiny_folder), "--data", str(small_data), "--limit", "9"]
    assert main([*common, "--out", str(root / "a"), "--controls"]) == 0
    against = ["--against", str(root / "a" / "predictions.jsonl")]
    assert main([*common, "--out", str(root / "b"), "--pictures", "--robustness", *against]) == 0
    return root


def test_metrics_hold_the_whole_protocol(run, small_data):
    metrics = json.loads((run / "a" / "metrics.json").read_text())
    assert metrics["n"] == 9
    for name in ("closed_accuracy", "choice_accuracy", "open_recall", "exact_match", "token_f1"):
        assert set(metrics[name]) == {"value", "low", "high", "n"}
    assert {"ece", "brier", "aurc"} <= set(metrics["calibration"])
    assert {"coverage", "accuracy"} <= set(metrics["abstention"]) | {"accuracy"}
    for name in ("blank", "noise", "swapped", "question_only"):
        assert "answers_changed" in metrics["controls"][name]
    assert set(metrics["by"]) == {"modality", "source", "answer_type", "group"}
    assert re.fullmatch(r"[0-9a-f]{64}", metrics["data_sha256"])
    assert metrics["model_fingerprint"] == metrics["model"]["fingerprint"]
    assert metrics["protocol"]["strategy"] == "zero-shot"
    assert metrics["command"].startswith("python -m training.evaluate --model ")
    assert metrics["scorers"]["llava_med.open_recall"]["rule"]


def test_the_page_asks_for_nothing_and_shows_no_picture_unless_told(run):
    page = (run / "a" / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "http" not in re.sub(r"data:image/svg\+xml;base64,[^\"]+", "", page).replace("http-equiv", "")
    assert "data:image/jpeg" not in page
    assert "Content-Security-Policy" in page
    assert "Controls: does it look?" in page
    other = (run / "b" / "report.html").read_text()
    assert "data:image/jpeg" in other
    assert "Against another run" in other
    assert "Corrupted images" in other


def test_a_run_against_itself_differs_in_nothing(run):
    metrics = json.loads((run / "b" / "metrics.json").read_text())
    assert metrics["against"]["right"]["difference"] == {"value": 0, "low": 0, "high": 0}
    assert "may be chance" in metrics["against"]["verdict"]


def test_words_of_the_data_cannot_become_markup():
    assert "<script>" not in table(("<script>",), [("x",)])
    assert number(None) == number({"value": float("nan"), "low": 0, "high": 0}) == "&ndash;"


def test_plots_are_drawn_the_same_each_time(row):
    rows = [row("Yes" if n % 3 else "No", "Yes", number=n, confidence=n / 30, modality="CT") for n in range(30)]
    one, other = draw_plots(rows), draw_plots(rows)
    assert set(one) == {"reliability", "risk_coverage", "modality"}
    assert one == other
    assert all(svg.startswith("<svg") for svg in one.values())
    assert draw_plots([row("a", "b", right=None)]) == {}


def test_few_answers_have_wide_intervals_even_if_all_are_right():
    low, high = wilson(np.array([1.0, 1.0, 0.5]), np.array([1, 100, 100]))
    # 1 of 1: centre (1 + 1.9208) / (1 + 3.8416), half width 1.96 / 4.8416 * 0.98.
    assert low[0] == pytest.approx(0.2065, abs=1e-3)
    assert low[1] == pytest.approx(0.963, abs=1e-3)
    assert high[:2] == pytest.approx([1, 1])
    assert (low[2], high[2]) == pytest.approx((0.4038, 0.5962), abs=1e-3)


def test_every_run_stands_on_the_leaderboard_beside_others_on_its_data(run, capsys):
    lines = read_lines(run / "leaderboard.jsonl")
    assert [line["model"] for line in lines] == ["tiny", "tiny"]
    assert len({line["data_sha256"] for line in lines}) == 1
    assert all(line["command"].startswith("python -m training.evaluate") for line in lines)
    assert lines[0]["controls"]
    assert show([str(run / "leaderboard.jsonl")]) == 0
    out = capsys.readouterr().out
    assert out.count("| tiny |") == 2
    assert out.count("## dev.jsonl (sha256") == 1
    assert "9 examples of each file" in out


def test_other_data_stand_in_another_table():
    line = {"model": "m", "data_sha256": "a" * 64, "protocol": {"version": "2"}, "scores": {}, "data": ["x.jsonl"]}
    assert render([line, {**line, "data_sha256": "b" * 64}]).count("## ") == 2


def test_a_broken_leaderboard_is_refused(tmp_path, capsys):
    (tmp_path / "l.jsonl").write_text('{"model": "m"}\n')
    with pytest.raises(DataError, match=r"l\.jsonl:1 is no line of a leaderboard"):
        read_lines(tmp_path / "l.jsonl")
    assert show([str(tmp_path / "none.jsonl")]) == 2
    assert "Runs of training.evaluate write it" in capsys.readouterr().err


def test_no_leaderboard_is_written_where_none_is_wanted(tiny_folder, small_data, tmp_path):
    out = tmp_path / "deep" / "out"
    common = ["--model", str(tiny_folder), "--data", str(small_data), "--limit", "2", "--out", str(out)]
    assert main([*common, "--leaderboard", "none"]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert main([*common, "--leaderboard", str(tmp_path / "board.jsonl")]) == 0
    assert len(read_lines(tmp_path / "board.jsonl")) == 1


def test_lines_are_added_not_replaced(run, tmp_path):
    metrics = json.loads((run / "a" / "metrics.json").read_text())
    for _ in range(3):
        add_line(tmp_path / "board.jsonl", metrics)
    assert len(read_lines(tmp_path / "board.jsonl")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scorers", "gpt4"], "No scorer is called gpt4"),
        (["--weights", "green"], "--weights green is not NAME=DIR"),
        (["--strategy", "few-shot-knn"], "few-shot-knn needs a data file of examples"),
        (["--against", "none.jsonl"], "none.jsonl cannot be read"),
        (["--limit", "0"], "limit is 0; use 1 or more"),
    ],
)
def test_a_wrong_choice_is_told_before_the_model_is_asked(arguments, message, small_data, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["--model", "no such model", "--data", str(small_data), "--out", str(out), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
