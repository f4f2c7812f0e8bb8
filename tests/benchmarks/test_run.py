"""The suite's own command: rows by name, gates that decide, results that find their place in the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import run
from benchmarks.run import ROWS, main, write_results
from benchmarks.suite import SETTINGS, Measured, Settings, side_by_side

PAGE = "# Page\n\n<!-- results -->\n<!-- /results -->\n\nThe end.\n"


@pytest.fixture(autouse=True)
def _usual_settings(monkeypatch):
    usual = Settings()
    yield
    SETTINGS.repeats, SETTINGS.quick, SETTINGS.clock = usual.repeats, usual.quick, usual.clock


def test_every_row_names_a_function_that_is_there():
    import importlib

    for target in ROWS.values():
        module, function = target.split(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_each_device_has_rows_of_its_own():
    assert not [name for name in run.usual("cpu") if name.startswith("gpu_")]
    assert {name for name in ROWS if name.startswith("gpu_")} <= set(run.usual("cuda")) <= set(ROWS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(capsys):
    with pytest.raises(SystemExit):
        main(["gpu_decode", "--device", "cuda"])
    assert "--device is cuda, but torch" in capsys.readouterr().err


@pytest.mark.slow
def test_the_rows_for_a_gpu_run_anywhere_on_a_tiny_model(capsys):
    names = [name for name in ROWS if name.startswith("gpu_")]
    assert main([*names, "--device", "cpu", "--quick", "--repeats", "1", "--json"]) == 0
    _, *rows = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert {row["name"].split()[0] for row in rows} == set(names)
    assert all(row["kept"] for row in rows)


def test_a_row_runs_and_tells_machine_gate_and_ratio(capsys):
    assert main(["jpeg_load", "--quick", "--repeats", "1", "--json"]) == 0
    machine, row = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "threads" in machine["machine"]
    assert "quick sizes" in machine["machine"]
    assert row["kept"]
    assert row["ratio"] > 0


def test_a_broken_gate_fails(capsys, monkeypatch):
    monkeypatch.setattr(run, "measure", lambda name, device: [Measured(name, "p", 1.0, 0.5, "error 3", False, 10.0)])
    assert main(["jpeg_load"]) == 1
    assert "BROKEN: error 3" in capsys.readouterr().out


def test_a_missed_ratio_is_told_and_does_not_fail(capsys, monkeypatch):
    monkeypatch.setattr(run, "measure", lambda name, device: [Measured(name, "p", 1.0, 0.5, "error 0", True, 10.0)])
    assert main(["jpeg_load"]) == 0
    assert "| 2.0× | 10× |" in capsys.readouterr().out


def test_results_take_the_place_of_those_of_the_same_name(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    write_results(page, ["| a | x | 1 |", "| b | x | 1 |"], "one machine")
    write_results(page, ["| b | x | 2 |", "| c | x | 2 |"], "another")
    rows = [line for line in page.read_text().splitlines() if line.startswith(("| a", "| b", "| c"))]
    assert rows == ["| a | x | 1 | one machine |", "| b | x | 2 | another |", "| c | x | 2 | another |"]
    assert page.read_text().startswith("# Page")
    assert page.read_text().endswith("The end.\n")


def test_a_page_without_a_place_for_results_is_left_alone(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n")
    with pytest.raises(SystemExit, match="has no <!-- results -->"):
        write_results(page, [], "a machine")
    assert page.read_text() == "# Page\n"


@pytest.mark.parametrize(("words", "told"), [
    (["no_such_row"], "no row is named no_such_row"), (["--repeats", "0"], "--repeats is 0"),
    (["--write", "nowhere.md"], "nowhere.md, which is no file"),
])  # fmt: skip
def test_a_wrong_word_is_named(capsys, words, told):
    with pytest.raises(SystemExit):
        main(words)
    assert told in capsys.readouterr().err


def test_both_ways_run_in_turn_and_the_first_turn_does_not_count():
    order = []
    clock = iter([0, 0, 0, 3, 3, 4, 10, 15, 15, 16])
    found = side_by_side(
        lambda: order.append("theirs"), lambda: order.append("ours"), repeats=2, clock=lambda: float(next(clock))
    )
    assert order == ["theirs", "ours"] * 3
    assert found == (4.0, 1.0)
