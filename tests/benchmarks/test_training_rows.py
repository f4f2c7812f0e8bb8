"""The rows of training steps, on a tiny model: both sides take the same steps."""

from __future__ import annotations

import pytest

from benchmarks import training_rows
from benchmarks.training_parts import make_model


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(training_rows, "TURNS", 1)
    monkeypatch.setattr(training_rows, "SIDE", 32)


@pytest.fixture(scope="module")
def examples(make_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("rows")
    make_data("phantom", None, root / "q", limit=10, seed=0)
    make_data("preferences", root / "q" / "train.jsonl", root / "p", seed=0)
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    llm = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
    }
    tower = {
        "timm_name": "vit_tiny_patch16_224",
        "image_size": 32,
        "embed_dim": 16,
        "trunk_args": {"patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2},
    }
    return make_model(tmp_path_factory.mktemp("model"), iter(["Normal."]), llm=llm, encoder=tower, vocabulary=400)


def test_both_sides_report_the_same_losses(small, model, examples, tmp_path):
    one = training_rows._sft(tmp_path, model, examples / "q" / "train.jsonl", 2, 3)
    assert one.kept, one.gate
    assert one.name == "sft_step"
    two = training_rows._dpo(tmp_path, model, examples / "p" / "preferences.jsonl", 2)
    assert two.kept, two.gate
    assert two.wanted == 1.5
