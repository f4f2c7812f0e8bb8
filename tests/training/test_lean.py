"""Layers in fewer passes: transformers' own states and gradients, the last layer only where it is asked for."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

from assistant.model.load import load_model
from tests.training.conftest import SMALL
from training.adapter import LoraSettings
from training.dataset import IGNORED, Turned, collate, make_pack
from training.joined import lay_out, use_rows
from training.lean import leave, take
from training.packed import PackedModel
from training.trainable import TrainedModel


def made(kind="llama"):
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **SMALL), attn_implementation="sdpa").eval()
    for name, one in model.named_parameters():
        if one.ndim == 1:
            nn.init.normal_(one, mean=0.0 if "bias" in name else 1.0, std=0.3)
    use_rows(model.config)
    return model


def packs(image_id=39, image_tokens=0):
    """Packs of one, two and one branches; the last is longer than the rows that are taken at a time."""
    prefix = (image_id,) * image_tokens

    def asked(start, length):
        return Turned((*prefix, *(8 + (start + n) % 20 for n in range(length))), tuple(range(start + 1, start + 4)))

    return collate(
        [make_pack(one, image_id, 500) for one in ([asked(9, 5)], [asked(8, 3), asked(11, 6)], [asked(9, 140)])], 0
    )


def through(model, batch, wanted=None, *, bf16=False):
    """Return states and the gradients of weights and of what goes in."""
    real = batch.branch >= 0
    embeds = F.embedding(batch.ids[real][None], model.get_input_embeddings().weight.detach()).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        row = lay_out(batch.branch, "cpu", wanted)
        positions = batch.positions[real][None]
        states = model(inputs_embeds=embeds, attention_mask=row, position_ids=positions, use_cache=False)
    return embeds, states.last_hidden_state[0].float()


def gradients(model, embeds, states, toward):
    (states * toward).sum().backward()
    found = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return {"input": embeds.grad, **found}


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2"])
def test_states_and_gradients_are_transformers_own(kind):
    plain, batch = made(kind), packs()
    lean = copy.deepcopy(plain)
    assert take(lean)
    (embeds, expected), (inputs, found) = through(plain, batch), through(lean, batch)
    assert torch.allclose(found, expected, atol=1e-5)
    toward = torch.randn(expected.shape)
    own, theirs = gradients(lean, inputs, found, toward), gradients(plain, embeds, expected, toward)
    assert own.keys() == theirs.keys()
    for name, one in theirs.items():
        assert torch.allclose(own[name], one, rtol=1e-3, atol=1e-5 * float(one.abs().max())), name


def test_in_bfloat16_they_are_as_near_as_autocast_is():
    plain, batch = made(), packs()
    lean = copy.deepcopy(plain)
    take(lean)
    results = [through(plain, batch), through(plain, batch, bf16=True), through(lean, batch, bf16=True)]
    exact, autocast, found = (states for _, states in results)
    assert (found - exact).norm() < 1.5 * (autocast - exact).norm()
    assert (found - exact).norm() < 0.02 * exact.norm()


def test_the_last_layer_is_worked_out_only_where_its_states_are_asked_for():
    plain, batch = made(), packs()
    lean = copy.deepcopy(plain)
    take(lean)
    wanted = batch.labels != IGNORED
    seen = []
    lean.layers[-1].mlp.down_proj.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    (embeds, whole), (inputs, found) = through(plain, batch), through(lean, batch, wanted)
    expected = whole[wanted[batch.branch >= 0]]
    assert seen == [int(wanted.sum())] == [len(found)]
    assert torch.allclose(found, expected, atol=1e-5)
    toward = torch.randn(expected.shape)
    own, theirs = gradients(lean, inputs, found, toward), gradients(plain, embeds, expected, toward)
    for name, one in theirs.items():
        assert torch.allclose(own[name], one, rtol=1e-3, atol=1e-5 * float(one.abs().max())), name


def test_a_pack_of_which_nothing_is_asked_is_no_hindrance():
    model, batch = made(), packs()
    take(model)
    wanted = batch.labels != IGNORED
    wanted[0] = False
    for bf16 in (False, True):
        embeds, states = through(model, batch, wanted, bf16=bf16)
        states.sum().backward()
        assert len(states) == int(wanted.sum())
        assert embeds.grad is not None
        assert not embeds.grad[0, : len(batch.ids[0][batch.branch[0] >= 0])].any()


def test_norm_and_gate_are_transformers_own_with_a_frozen_and_a_trained_weight():
    norm, mlp = LlamaRMSNorm(32), LlamaMLP(AutoConfig.for_model("llama", **SMALL))
    nn.init.normal_(norm.weight, mean=1.0, std=0.5)
    layer = made().layers[0]
    layer.input_layernorm, layer.mlp = copy.deepcopy(norm), copy.deepcopy(mlp)
    shell = made()
    shell.layers = nn.ModuleList([layer])
    take(shell)
    for trained in (True, False):
        results = []
        for one, other in ((norm, mlp), (layer.input_layernorm, layer.mlp)):
            one.weight.requires_grad_(trained)
            one.weight.grad = None
            x = torch.randn(3, 100, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
            made_of_it = other(one(x))
            made_of_it.square().sum().backward()
            results.append((made_of_it, x.grad, one.weight.grad))
        for expected, found in zip(*results, strict=True):
            assert (expected is None and found is None) or torch.allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["phi3", "gemma", "qwen3"])
def test_models_of_other_kinds_are_left_alone(kind):
    model = made(kind)
    assert not take(model)
    assert not any("forward" in vars(one) for one in model.modules())


def test_other_masks_go_to_transformers_and_what_was_taken_is_undone():
    plain = made()
    lean = copy.deepcopy(plain)
    take(lean)
    ids, mask = torch.randint(1, 40, (2, 7)), torch.tensor([[1] * 7, [0, 0] + [1] * 5])
    expected = plain(ids, attention_mask=mask).last_hidden_state[mask > 0]
    assert torch.allclose(lean(ids, attention_mask=mask).last_hidden_state[mask > 0], expected, atol=1e-5)
    leave(lean)
    assert not any("forward" in vars(one) for one in lean.modules())
    assert torch.equal(lean(ids, attention_mask=mask).last_hidden_state[mask > 0], expected)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_logits_and_gradients_of_a_whole_model_with_an_adapter_are_those_of_padded_packs(wide_folder, checkpoint):
    found = []
    for rows in (False, True):
        torch.manual_seed(0)
        trained = TrainedModel(str(wide_folder), ("connector", "language_model"), LoraSettings(rank=4, dropout=0.0))
        loaded, network = trained.loaded, trained.network
        for name, one in network.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(one, std=0.1)
        image_id = loaded.tokenizer.convert_tokens_to_ids("<image>")
        batch = packs(image_id, loaded.contract.image_tokens)
        packed = PackedModel(loaded, image_id, bf16=False, rows=rows, checkpoint=checkpoint)
        size = loaded.contract.image_size
        logits = packed.answer_logits(batch, torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0)))
        logits.logsumexp(-1).sum().backward()
        grads = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
        found.append({"logits": logits.detach(), **grads})
    assert found[0].keys() == found[1].keys()
    for name, one in found[0].items():
        assert torch.allclose(found[1][name], one, rtol=1e-3, atol=1e-5 * max(1.0, float(one.abs().max()))), name


def test_compiled_layers_are_transformers_own(wide_folder):
    loaded = load_model(wide_folder)
    packed = PackedModel(loaded, loaded.tokenizer.convert_tokens_to_ids("<image>"), bf16=False)
    model = loaded.llava.model.language_model
    assert "forward" in vars(model.layers[0])
    packed.compile()
    assert not any("forward" in vars(one) for one in model.modules())


def test_layers_stay_transformers_own_where_they_are_not_to_be_lean(wide_folder):
    loaded = load_model(wide_folder)
    PackedModel(loaded, loaded.tokenizer.convert_tokens_to_ids("<image>"), bf16=False, lean=False)
    model = loaded.llava.model.language_model
    assert not any("forward" in vars(one) for one in model.modules())
