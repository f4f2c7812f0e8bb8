"""A linear and its LoRA together: PEFT's own sums, with and without dropout, and only where they are plain sums."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from assistant.model.load import load_model
from training.adapter import LoraSettings
from training.thin import join_products
from training.trainable import TrainedModel


def model(folder, **changes):
    torch.manual_seed(0)
    made = TrainedModel(str(folder), ("connector", "language_model"), LoraSettings(**{"rank": 4, **changes}))
    for name, one in made.network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(one, std=0.1)
    return made


def run(made, *, bf16=False):
    """Return the states of a text and the gradients of what trains."""
    text = made.loaded.llava.model.language_model
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        states = text(torch.arange(8, 24).view(2, 8)).last_hidden_state.float()
    (states * torch.randn(states.shape)).sum().backward()
    grads = {name: one.grad for name, one in made.network.named_parameters() if one.grad is not None}
    return states.detach(), grads


@pytest.mark.parametrize("changes", [{}, {"dropout": 0.0}, {"method": "rslora"}, {"method": "lora_fa"}])
def test_states_and_gradients_are_pefts(wide_folder, changes):
    plain, joined = model(wide_folder, **changes), model(wide_folder, **changes)
    join_products(joined.network, bf16=False)
    (expected, grads), (states, found) = run(plain), run(joined)
    assert torch.allclose(states, expected, atol=1e-5)
    assert grads.keys() == found.keys()
    for name, one in grads.items():
        assert torch.allclose(found[name], one, rtol=1e-3, atol=1e-6), name


def test_in_bfloat16_they_are_near_and_frozen_weights_are_held_in_it(wide_folder):
    exact, joined = model(wide_folder, dropout=0.0), model(wide_folder, dropout=0.0)
    join_products(joined.network, bf16=True)
    (expected, grads), (states, found) = run(exact), run(joined, bf16=True)
    assert (states - expected).norm() < 0.03 * expected.norm()
    assert all(one.dtype == torch.float32 for one in found.values())
    for name, one in grads.items():
        assert (found[name] - one).norm() < 0.1 * one.norm(), name
    text = joined.loaded.llava.model.language_model
    held = {one.weight.dtype for name, one in text.named_modules() if name.endswith("base_layer")}
    assert held == {torch.bfloat16}
    assert text.embed_tokens.weight.dtype == torch.float32


def test_the_adapter_switched_off_leaves_the_base(wide_folder):
    made, base = model(wide_folder, dropout=0.0), load_model(wide_folder).llava.model.language_model
    join_products(made.network, bf16=False)
    ids = torch.arange(8, 16)[None]
    with torch.no_grad(), made.network.disable_adapter():
        off = made.loaded.llava.model.language_model(ids).last_hidden_state
    assert torch.allclose(off, base(ids).last_hidden_state, atol=1e-6)


def test_what_is_written_is_the_same(wide_folder, tmp_path):
    plain, joined = model(wide_folder), model(wide_folder)
    join_products(joined.network, bf16=True)
    files = [made.write(tmp_path / name) / "adapter_model.safetensors" for made, name in ((plain, "a"), (joined, "b"))]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_methods_that_are_more_than_a_sum_are_left_alone(wide_folder):
    for method in ("dora", "vera"):
        made = model(wide_folder, method=method)
        join_products(made.network, bf16=True)
        linears = [one for one in made.network.modules() if "base_layer" in dict(one.named_children())]
        assert linears
        assert not any("forward" in vars(one) for one in linears)
        assert {one.get_base_layer().weight.dtype for one in linears} == {torch.float32}
    join_products(nn.Linear(2, 2), bf16=True)


def test_words_that_are_read_and_written_by_the_same_weights_are_left_alone(wide_folder):
    made = model(wide_folder)
    made.loaded.llava.lm_head.weight = made.loaded.llava.get_input_embeddings().weight
    join_products(made.network, bf16=True)
    assert made.loaded.llava.lm_head.weight.dtype == torch.float32
