"""Quantization reaches the language model's linears, all of them, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.errors import ModelError
from assistant.model.adapter import wrap
from assistant.model.load import load_model
from assistant.model.merge import merge_adapter
from assistant.model.quantize import count_quantized, quantization_config
from assistant.model.save import save_adapter, save_model

pytest.importorskip("bitsandbytes")


@pytest.fixture(scope="module")
def exact(wide_folder: Path) -> Any:
    """That model, not quantized."""
    return load_model(wide_folder, device="cpu")


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_only_the_language_models_linears_are_quantized(
    wide_folder: Path, exact: Any, batch: Callable[..., Any], kind: Any
) -> None:
    model = load_model(wide_folder, device="cpu", quantization=kind)
    counts = count_quantized(model.llava)
    assert counts == {
        "language_model": 14,  # 2 layers of q, k, v, o, gate, up, down
        "vision_tower": 0,
        "multi_modal_projector": 0,
        "lm_head": 0,
        "language_linears": 14,
    }
    inputs = batch(model, ["CT?"])
    with torch.inference_mode():
        rounded, whole = model.llava(**inputs).logits, exact.llava(**inputs).logits
    assert torch.isfinite(rounded).all()
    assert float(torch.nn.functional.cosine_similarity(rounded[0, -1], whole[0, -1], dim=0)) > 0.8
    assert model.contract == exact.contract


def test_unquantized_model_counts_none(tiny_model: Any) -> None:
    assert count_quantized(tiny_model.llava)["language_model"] == 0
    assert count_quantized(tiny_model.llava)["language_linears"] == 14


def test_quantized_model_is_neither_saved_nor_merged_into(
    tiny_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    model = load_model(tiny_folder, device="cpu", quantization="nf4")
    with pytest.raises(ModelError, match=r"quantized: saving or merging .* quantization='none'"):
        save_model(model, tmp_path / "out")
    with pytest.raises(ModelError, match=r"quantized: saving or merging .* quantization='none'"):
        merge_adapter(adapter_folder, tmp_path / "out", base=model)
    assert list(tmp_path.iterdir()) == []


def test_adapter_runs_on_a_quantized_base(exact: Any, tmp_path: Path, batch: Callable[..., Any]) -> None:
    from peft import LoraConfig

    base = load_model(exact.folder, device="cpu")
    settings = LoraConfig(r=2, target_modules=r".*language_model.*q_proj", init_lora_weights=False)
    adapter = save_adapter(wrap(base.llava, settings), base, tmp_path / "lora")
    model = load_model(adapter, device="cpu", quantization="nf4")
    counts = count_quantized(model.llava)
    assert (counts["language_model"], counts["vision_tower"], counts["multi_modal_projector"]) == (14, 0, 0)
    assert model.llava.generate(**batch(model, ["CT?"]), max_new_tokens=2).shape[0] == 1


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ModelError, match="quantization is 'nf5'; use nf4, int8 or none"):
        quantization_config("nf5", torch.float32)
