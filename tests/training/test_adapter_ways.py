"""Ways to adapt that do more than add a fresh LoRA: what they begin with, what trains, and what is written."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from assistant.errors import ConfigError, ModelError, TrainingError
from assistant.model.load import load_model
from assistant.model.merge import merge_adapter
from training.adapter import LoraSettings
from training.loop import Loop
from training.recipe import OptimizerSettings
from training.train_parts import check_parts, tell_parts
from training.trainable import TrainedModel, keep_differentiable, set_trainable

BOTH = ("connector", "language_model")
IDS = torch.arange(5, 25)[None]


def text_logits(llava):
    with torch.no_grad():
        return llava(input_ids=IDS).logits


def loss_of(network):
    return network(input_ids=IDS, labels=IDS).loss


def move(network, seed=0):
    """Move all that trains, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return network.eval()


def steps(network, count):
    """Train on twenty tokens; returns the loop."""
    loop = Loop(network, OptimizerSettings(lr=1e-2, warmup_steps=1), steps=count, seed=0)
    while loop.step_number < count:
        loop.update(loss_of(network))
    return loop


@pytest.mark.parametrize("method", ["pissa", "olora"])
def test_an_adapter_that_begins_in_the_base_is_written_for_the_base_as_it_was(wide_folder, tmp_path, method):
    before = load_model(wide_folder).llava
    model = TrainedModel(str(wide_folder), BOTH, LoraSettings(rank=4, alpha=8, dropout=0.0, method=method))
    network = model.network.eval()
    assert torch.allclose(text_logits(network), text_logits(before), atol=1e-4)
    name = "model.language_model.layers.0.self_attn.q_proj"
    inside = network.get_base_model().get_submodule(name).get_base_layer().weight
    assert not torch.allclose(inside, before.get_submodule(name).weight, atol=1e-3)
    expected = text_logits(move(network))
    out = model.write(tmp_path / "adapter")
    assert torch.equal(text_logits(network), expected)
    settings = json.loads((out / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"], settings["init_lora_weights"]) == (8, 16, True)
    assert torch.allclose(text_logits(load_model(out).llava), expected, atol=1e-4)
    merged = merge_adapter(out, tmp_path / "merged")
    assert torch.allclose(text_logits(load_model(merged).llava), expected, atol=1e-4)
    # From here it is a plain LoRA like any other.
    on = TrainedModel(str(out), BOTH, LoraSettings(rank=8, alpha=16))
    assert torch.allclose(text_logits(on.network.eval()), expected, atol=1e-4)


def test_what_cannot_become_a_plain_lora_is_refused(wide_folder):
    settings = LoraSettings(rank=4, method="pissa", options={"rank_pattern": {"q_proj": 2}})
    with pytest.raises(TrainingError, match=r"use_dora, rank_pattern or alpha_pattern, which cannot be written"):
        TrainedModel(str(wide_folder), BOTH, settings).network  # noqa: B018


def test_loftq_begins_nearer_to_the_model_before_rounding(wide_folder, tmp_path):
    whole = text_logits(load_model(wide_folder).llava)
    rounded = load_model(wide_folder, quantization="nf4")
    model = TrainedModel(
        str(wide_folder), ("language_model",), LoraSettings(rank=16, method="loftq", quantization="nf4")
    )
    network = model.network.eval()
    assert (text_logits(network) - whole).norm() < 0.8 * (text_logits(rounded.llava) - whole).norm()
    steps(network, 3)
    expected = text_logits(network)
    loaded = load_model(model.write(tmp_path / "adapter"), quantization="nf4")
    keep_differentiable(loaded.llava)
    assert torch.allclose(text_logits(loaded.llava), expected, atol=1e-4)


def test_gradients_go_through_four_bits_after_a_run_without_them(wide_folder):
    def gradients(first):
        torch.manual_seed(0)
        settings = LoraSettings(rank=4, dropout=0.0, quantization="nf4")
        network = TrainedModel(str(wide_folder), ("language_model",), settings).network.eval()
        move(network)
        if first:
            text_logits(network)
        loss_of(network).backward()
        return [one.grad for one in network.parameters() if one.requires_grad]

    assert all(torch.equal(one, other) for one, other in zip(gradients(False), gradients(True), strict=True))


def test_loftq_needs_the_weights_before_rounding(wide_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    copy.mkdir()
    weights = load_file(wide_folder / "model.safetensors")
    save_file({name: one for name, one in weights.items() if "layers.1." not in name}, copy / "model.safetensors")
    model = TrainedModel(str(wide_folder), BOTH, LoraSettings(rank=4, method="loftq", quantization="nf4"))
    model.loaded = dataclasses.replace(model.loaded, folder=copy)
    with pytest.raises(ModelError, match=r"has no weights for .*layers\.1\..*, which LoftQ compares with 4 bits"):
        model.network  # noqa: B018


@pytest.mark.parametrize("method", ["lora_b", "lora_fa"])
def test_the_first_matrix_is_held_and_the_second_learns(wide_folder, tmp_path, method):
    model = TrainedModel(str(wide_folder), ("language_model",), LoraSettings(rank=4, dropout=0.0, method=method))
    network = model.network.eval()
    names = {name for name, one in network.named_parameters() if one.requires_grad}
    assert len(names) == 14
    assert all("lora_B" in name for name in names)
    held = {name: one.clone() for name, one in network.named_parameters() if "lora_A" in name}
    first = loss_of(network).item()
    steps(network, 10)
    assert loss_of(network).item() < first - 0.1
    assert all(torch.equal(one, held[name]) for name, one in network.named_parameters() if "lora_A" in name)
    out = model.write(tmp_path / "adapter")
    assert torch.allclose(text_logits(load_model(out).llava), text_logits(network), atol=1e-5)
    on = TrainedModel(str(out), ("language_model",), LoraSettings(rank=4, method=method))
    assert all("lora_B" in name for name, one in on.network.named_parameters() if one.requires_grad)


def test_projected_gradients_by_hand(wide_folder):
    def gradient(method):
        settings = LoraSettings(rank=2, alpha=4, dropout=0.0, method=method)
        network = TrainedModel(str(wide_folder), ("language_model",), settings).network.eval()
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for name, one in network.named_parameters():
                if "lora_A" in name:
                    one.copy_(torch.randn(one.shape, generator=generator))
        loss_of(network).backward()
        layer = network.get_base_model().model.language_model.layers[0].mlp.up_proj
        return layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.grad

    (down, plain), (_, projected) = gradient("lora_b"), gradient("lora_fa")
    # s = alpha / rank = 2: g (A A^T)^-1 / 4
    assert torch.allclose(projected, plain @ torch.linalg.inv(down @ down.T) / 4, rtol=1e-3, atol=1e-7)


def test_an_adapter_on_top_of_another_is_written_as_one(adapter, wide_folder, tmp_path):
    domain = text_logits(load_model(adapter).llava)
    settings = LoraSettings(rank=3, alpha=5, dropout=0.0, on_top=True)
    model = TrainedModel(str(adapter), ("language_model",), settings)
    network = model.network.eval()
    assert torch.allclose(text_logits(network), domain, atol=1e-4)
    names = {name for name, one in network.named_parameters() if one.requires_grad}
    assert len(names) == 28
    assert not any("projector" in name for name in names)
    expected = text_logits(move(network))
    out = model.write(tmp_path / "both")
    assert json.loads((out / "adapter_config.json").read_text())["r"] == 4 + 3
    both, first = load_model(out), load_model(adapter)
    assert torch.allclose(text_logits(both.llava), expected, atol=1e-4)
    assert both.contract.base == first.contract.base
    # The connector of the adapter below goes with the new one.
    assert both.contract.connector_fingerprint == first.contract.connector_fingerprint
    assert both.contract.connector_fingerprint != load_model(wide_folder).contract.connector_fingerprint


def test_an_adapter_on_top_trains_the_connector_on(adapter, tmp_path):
    model = TrainedModel(str(adapter), BOTH, LoraSettings(rank=3, on_top=True))
    assert any("projector" in name for name, one in model.network.named_parameters() if one.requires_grad)
    move(model.network)
    out = load_model(model.write(tmp_path / "both"))
    assert out.contract.connector_fingerprint != load_model(adapter).contract.connector_fingerprint


def test_what_cannot_be_put_on_top_is_refused(adapter, wide_folder, tmp_path):
    top = LoraSettings(rank=3, on_top=True)
    with pytest.raises(ConfigError, match=r"lora\.on_top is true, but .* is no adapter"):
        TrainedModel(str(wide_folder), BOTH, top)
    fewer = dataclasses.replace(top, last_layers=1)
    with pytest.raises(ConfigError, match="changes 14 linears and the one on top 7, not the same ones"):
        TrainedModel(str(adapter), BOTH, fewer).network  # noqa: B018
    oft = TrainedModel(str(wide_folder), BOTH, LoraSettings(rank=4, method="oft"))
    below = oft.write(tmp_path / "oft")
    with pytest.raises(ConfigError, match="is no plain LoRA, so none can be put on top"):
        TrainedModel(str(below), BOTH, top).network  # noqa: B018


def trainable(folder, *arguments, **options):
    llava = load_model(folder).llava.requires_grad_(False)
    network = set_trainable(llava, *arguments, **options)
    return {name for name, one in network.named_parameters() if one.requires_grad}


def test_a_linear_probe_trains_connector_and_head_alone(wide_folder, tmp_path):
    names = trainable(wide_folder, ("connector", "head"), None)
    assert {name.split(".linear")[0] for name in names} == {"model.multi_modal_projector", "lm_head.weight"}
    assert trainable(wide_folder, ("head",), None) == {"lm_head.weight"}
    model = TrainedModel(str(wide_folder), ("head",), None)
    expected = text_logits(move(model.network))
    assert torch.allclose(text_logits(load_model(model.write(tmp_path / "m")).llava), expected, atol=1e-5)


def test_the_last_layers_train_whole(wide_folder):
    names = trainable(wide_folder, ("language_model",), None, last_layers=1)
    assert "model.language_model.norm.weight" in names
    assert all(".layers.1." in name for name in names - {"model.language_model.norm.weight"})


def test_parts_are_told():
    assert tell_parts(("head",), None, None) == "head (all weights)"
    assert tell_parts(BOTH, LoraSettings(rank=8, method="pissa"), None) == "connector, language_model (pissa rank 8)"
    assert tell_parts(("language_model",), None, 2) == "language_model (the last 2 layers)"
    assert tell_parts((), None, None) == "nothing but its own head"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("vision_tower",), None, None), r"train is \['vision_tower'\]; choose from connector, language_model, head"),
        (((), None, None), r"train is \[\]; choose from"),
        ((("head",), LoraSettings(), None), "train has head, which no adapter holds"),
        ((BOTH, None, 0), "last_layers is 0; use 1 or more"),
        ((BOTH, LoraSettings(), 2), r"last_layers is 2, but an adapter trains; set lora\.last_layers"),
        ((("connector",), None, 2), "last_layers is 2, but train has no language_model"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        check_parts(*arguments)


@pytest.mark.parametrize(
    ("train", "last", "message"),
    [(("head",), None, "train has head, but"), (BOTH, 1, "last_layers is 1, but .* is an adapter, which alone")],
)
def test_an_adapter_that_is_gone_on_with_trains_alone(adapter, train, last, message):
    with pytest.raises(ConfigError, match=message):
        TrainedModel(str(adapter), train, None, last_layers=last).network  # noqa: B018
