"""A model says the same in every form, and a form that does not is told."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from training import parity
from training.parity import EXACT, Reading, Tolerance, compare, main, run_parity


@pytest.fixture
def reading():
    logits = [torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[3.0, 0.0]])]
    return Reading(logits, ["yes", "no"])


def test_a_form_is_compared_by_logits_tokens_and_texts(reading):
    assert dataclasses.astuple(compare("batched", reading, reading)) == ("batched", 0.0, 0.0, 1.0, 1.0, True)
    other = Reading([torch.tensor([[0.0, 1.0], [0.0, 0.5]]), torch.tensor([[3.0, 0.0]])], ["yes", "never"])
    row = compare("batched", reading, other)
    before, after = torch.tensor([2.0, 0.0]).log_softmax(-1), torch.tensor([0.0, 0.5]).log_softmax(-1)
    assert row.largest == 2.0
    assert row.divergence == pytest.approx(float((before.exp() * (before - after)).sum()) / 3)
    assert row.token == pytest.approx(2 / 3)
    assert row.text == 0.5
    assert not row.holds


def test_rounded_forms_are_held_to_what_they_say(reading):
    moved = Reading([one + torch.tensor([0.0, 0.3]) for one in reading.logits], reading.texts)
    assert compare("nf4", reading, moved).holds
    assert not compare("merged", reading, moved).holds


def test_every_form_of_a_model_says_the_same(wide_folder, phantom_data):
    rows = {row.form: row for row in run_parity(str(wide_folder), phantom_data, prompts=5)}
    assert list(rows) == ["batched", "reloaded", "bfloat16", "int8", "nf4"]
    assert rows["batched"].holds
    assert rows["reloaded"].largest == 0.0
    # Untrained weights are near ties everywhere, so what rounding does to tokens is no test of it.
    assert 0 < rows["bfloat16"].largest < 0.1
    assert 0 < rows["int8"].divergence < 0.01
    assert 0 < rows["nf4"].divergence < 0.1


def test_an_adapter_is_also_compared_merged(adapter, phantom_data):
    rows = {row.form: row for row in run_parity(str(adapter), phantom_data, prompts=3)}
    assert list(rows) == ["batched", "merged", "reloaded", "bfloat16", "int8", "nf4"]
    assert 0 < rows["merged"].largest <= EXACT.logit
    assert rows["merged"].holds


def test_the_command_tells_and_fails_over_the_tolerance(wide_folder, phantom_data, monkeypatch, capsys):
    arguments = [str(wide_folder), "--data", str(phantom_data), "--prompts", "2"]
    every = dict.fromkeys(parity.TOLERANCES, Tolerance(10.0, 0.0, 0.0))
    monkeypatch.setattr(parity, "TOLERANCES", every)
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["form"] for one in told["forms"]] == ["batched", "reloaded", "bfloat16", "int8", "nf4"]
    monkeypatch.setitem(every, "nf4", Tolerance(0.0, 0.0, 0.0))
    assert main(arguments) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("| NO |")


def test_data_without_examples_are_refused(wide_folder, tmp_path, capsys):
    (tmp_path / "none.jsonl").write_text("")
    assert main([str(wide_folder), "--data", str(tmp_path / "none.jsonl")]) == 2
    assert "holds no examples; give a file that data_recipes.build wrote" in capsys.readouterr().err
