"""Whether a run computes in bfloat16: the recipe's word, else the machine's, and then always the same."""

from __future__ import annotations

import json

import torch

from training import precision
from training.precision import bf16_pays, settle_bf16
from training.run_folder import RunFolder
from training.settings import LlavaSettings
from training.team import Team


def test_the_recipes_word_counts(tmp_path):
    folder = RunFolder(tmp_path / "run", LlavaSettings("m", ({},), tmp_path / "run"))
    assert settle_bf16(True, folder, Team()) is True
    assert settle_bf16(False, folder, Team()) is False
    assert not (folder.path / "settled.json").exists()


def test_a_resumed_run_keeps_to_what_was_chosen(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run", LlavaSettings("m", ({},), tmp_path / "run"))
    for machine, first in ((True, True), (False, True)):
        monkeypatch.setattr(precision, "bf16_pays", lambda machine=machine: machine)
        assert settle_bf16(None, folder, Team()) is first
    assert json.loads((folder.path / "settled.json").read_text()) == {"bf16": True}


def test_pairs_stay_in_float32_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "bf16_pays", lambda: True)
    for cuda in (False, True):
        folder = RunFolder(tmp_path / str(cuda), LlavaSettings("m", ({},), tmp_path / str(cuda)))
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        assert settle_bf16(None, folder, Team(), exact=True) is cuda
        assert settle_bf16(True, folder, Team(), exact=True) is True


def test_the_choice_follows_the_measurement(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for times, pays in (([2.0, 1.0], True), ([1.2, 1.0], False)):
        left = iter(times)
        monkeypatch.setattr(precision, "_least", lambda work, left=left: (work(), next(left))[1])
        bf16_pays.cache_clear()
        assert bf16_pays() is pays
    bf16_pays.cache_clear()
