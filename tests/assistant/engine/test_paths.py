import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from assistant.engine import paths
from assistant.engine.paths import FILE, Paths, matmul_use, packed_use

BF16 = torch.bfloat16


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(paths, "_known", {})


def kept():
    return Path(os.environ["MEDASSIST_STATE_DIR"]) / FILE


def test_what_was_measured_is_kept_for_the_next_process(monkeypatch):
    found = packed_use(nn.Linear(8, 6))
    stored = json.loads(kept().read_text())
    (machine,) = stored
    assert torch.__version__ in machine
    assert stored[machine] == {"linear 6x8 torch.float32": {"quicker": list(found)}}
    monkeypatch.setattr(paths, "_known", {})
    monkeypatch.setattr(paths, "_measure_linear", None)
    assert packed_use(nn.Linear(8, 6)) == found


def test_a_file_that_is_broken_or_another_machines_is_measured_anew():
    kept().write_text('{"another machine": {"linear 6x8 torch.float32": [true, true, true]}}')
    packed_use(nn.Linear(8, 6))
    assert len(json.loads(kept().read_text())) == 2
    paths.forget()
    kept().write_text("[not json")
    packed_use(nn.Linear(8, 6))
    assert len(json.loads(kept().read_text())) == 1


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDASSIST_STATE_DIR", str(tmp_path / "file" / "below"))
    assert len(packed_use(nn.Linear(8, 6))) == 3


def test_the_quicker_way_is_taken(monkeypatch):
    monkeypatch.setattr(paths, "quickest", lambda ways, repeats: [1.0, 0.5])
    assert packed_use(nn.Linear(8, 6)) == (True, True, True)
    monkeypatch.setattr(paths, "quickest", lambda ways, repeats: [1.0, 0.99])
    assert packed_use(nn.Linear(8, 10)) == (False, False, False)


def test_settings_go_before_the_measurement():
    assert packed_use(nn.Linear(8, 6), "torch") == (False, False, False)
    assert packed_use(nn.Linear(8, 6), "packed") == (True, True, True)
    assert packed_use(nn.Linear(8, 6).double(), "packed") == (False, False, False)
    assert matmul_use(None, BF16, "cpu", "matmul") == (True, True)
    assert matmul_use(None, BF16, "cuda", "auto") == (False, False)
    assert not kept().exists()


def test_attention_is_measured_in_the_models_own_shape(tiny_model):
    config = tiny_model.llava.config.get_text_config()
    assert len(matmul_use(config, BF16, "cpu")) == 2
    (stored,) = json.loads(kept().read_text()).values()
    assert list(stored) == ["attention 4/2x12 torch.bfloat16"]


def test_the_ways_are_told_in_a_line():
    ways = Paths("int8", {(8, 6): (False, True, True), (6, 8): (False, False, False)}, (False, True))
    told = "precision int8, oneDNN-packed linears for 1 of 2 shapes, decode attention matmul for batches"
    assert ways.describe() == told
    assert Paths("exact", {}, (False, False)).describe().endswith("decode attention torch's own")
    assert Paths("exact", {}, (False, False), "graph").describe().endswith("torch's own, steps as one CUDA graph")
