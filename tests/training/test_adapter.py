"""LoRA sits on the language model's linears and nowhere else."""

from __future__ import annotations

import pytest

from assistant.model.load import load_model
from training.adapter import LoraSettings, add_lora


@pytest.mark.parametrize("connector", [True, False])
def test_every_linear_of_the_language_model_gets_an_update_and_no_other(tiny_folder, connector):
    wrapped = add_lora(load_model(tiny_folder, device="cpu").llava, LoraSettings(rank=2), connector=connector)
    names = [name for name, one in wrapped.named_parameters() if one.requires_grad]
    pairs = [name for name in names if "lora_" in name]
    assert len(pairs) == 2 * 7 * 2  # A and B, seven linears, two layers
    assert all("language_model" in name for name in pairs)
    rest = set(names) - set(pairs)
    assert all("multi_modal_projector.modules_to_save" in name for name in rest)
    assert bool(rest) is connector


def test_rank_alpha_and_dora_reach_peft(tiny_folder):
    settings = LoraSettings(rank=3, alpha=9, dropout=0.25, dora=True)
    wrapped = add_lora(load_model(tiny_folder, device="cpu").llava, settings, connector=False)
    (config,) = wrapped.peft_config.values()
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_dora) == (3, 9, 0.25, True)
    assert any("lora_magnitude_vector" in name for name, _ in wrapped.named_parameters())
