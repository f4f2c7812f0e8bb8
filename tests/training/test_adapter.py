"""Adapters sit on the language model's linears and nowhere else, and what is written answers as what was trained."""

from __future__ import annotations

import pytest
import torch

from assistant.errors import ConfigError, TrainingError
from assistant.model.load import adapter_base, load_model
from assistant.model.save import save_adapter
from training.adapter import LoraSettings, add_lora
from training.adapter_methods import METHODS, on_quantized
from training.trainable import TrainedModel


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
    settings = LoraSettings(rank=3, alpha=9, dropout=0.25, method="dora", options={"lora_bias": False})
    wrapped = add_lora(load_model(tiny_folder, device="cpu").llava, settings, connector=False)
    (config,) = wrapped.peft_config.values()
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_dora) == (3, 9, 0.25, True)
    assert any("lora_magnitude_vector" in name for name, _ in wrapped.named_parameters())


def trained(folder, settings, *, connector=True):
    """Wrap a model and move all that trains, as training would."""
    base = load_model(folder, device="cpu")
    base.llava.requires_grad_(False)
    wrapped = add_lora(base.llava, settings, connector=connector)
    generator = torch.Generator().manual_seed(0)
    moved = 0
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
                moved += parameter.numel()
    return base, wrapped.eval(), moved


def logits(llava, model):
    ids = torch.tensor(
        [[model.tokenizer.convert_tokens_to_ids("<image>")] * model.contract.image_tokens + [7, 8, 9, 10]]
    )
    size = model.contract.image_size
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return llava(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids)).logits


FLOAT = [name for name, one in METHODS.items() if not one.only_quantized]
"""Methods that run on whole weights."""
STEADY = [name for name in FLOAT if not METHODS[name].moves_base]
"""Those of them that leave the base as it is even in memory."""


@pytest.mark.parametrize("method", STEADY)
def test_each_method_is_saved_and_loaded_as_it_was_trained(wide_folder, tmp_path, method):
    plain = load_model(wide_folder, device="cpu")
    untouched = logits(plain.llava, plain)
    base, wrapped, moved = trained(wide_folder, LoraSettings(rank=4, method=method))
    assert moved
    expected = logits(wrapped, base)
    assert (expected - untouched).abs().max() > 1e-3
    folder = save_adapter(wrapped, base, tmp_path / "adapter")
    loaded = load_model(folder, device="cpu")
    assert torch.allclose(logits(loaded.llava, loaded), expected, atol=1e-5)


@pytest.mark.parametrize("method", [name for name in STEADY if METHODS[name].merges])
def test_each_method_merges_into_its_base(wide_folder, tmp_path, method):
    from assistant.model.merge import merge_adapter

    base, wrapped, _ = trained(wide_folder, LoraSettings(rank=4, method=method))
    folder = save_adapter(wrapped, base, tmp_path / "adapter")
    merged = load_model(merge_adapter(folder, tmp_path / "merged"), device="cpu")
    assert torch.allclose(logits(merged.llava, merged), logits(wrapped, base), atol=1e-4)


@pytest.mark.parametrize("method", [name for name in FLOAT if name != "lora"])
def test_a_fresh_adapter_changes_nothing_and_learns(wide_folder, method):
    base = load_model(wide_folder, device="cpu")
    before = logits(base.llava, base)
    base.llava.requires_grad_(False)
    wrapped = add_lora(base.llava, LoraSettings(rank=4, dropout=0.0, method=method), connector=False)
    assert torch.allclose(logits(wrapped, base), before, atol=1e-4)
    ids = torch.arange(5, 25)[None]
    wrapped(input_ids=ids, labels=ids).loss.backward()
    moved = [
        one for one in wrapped.parameters() if one.requires_grad and one.grad is not None and one.grad.abs().sum() > 0
    ]
    assert moved


def test_the_last_layers_alone(wide_folder):
    _, wrapped, _ = trained(wide_folder, LoraSettings(rank=2, last_layers=1), connector=False)
    names = [name for name, one in wrapped.named_parameters() if one.requires_grad]
    assert names
    assert all(".layers.1." in name for name in names)


def test_targets_may_name_the_connector_but_not_the_image_tower(wide_folder):
    _, wrapped, _ = trained(
        wide_folder, LoraSettings(rank=2, targets=r".*multi_modal_projector\.linear_\d"), connector=False
    )
    assert all("multi_modal_projector" in name for name, one in wrapped.named_parameters() if one.requires_grad)
    base = load_model(wide_folder, device="cpu")
    base.llava.requires_grad_(False)
    with pytest.raises(TrainingError, match="reaches into the image tower"):
        add_lora(base.llava, LoraSettings(rank=2, targets=r".*\.q_proj"), connector=False)


def test_what_peft_refuses_is_said(wide_folder):
    with pytest.raises(TrainingError, match=r"PEFT refuses `lora:` with method lora: .*no_such"):
        add_lora(load_model(wide_folder).llava, LoraSettings(options={"no_such": 1}), connector=False)
    with pytest.raises(TrainingError, match="PEFT refuses `lora:` with method lora: .*nothing"):
        add_lora(load_model(wide_folder).llava, LoraSettings(targets="nothing"), connector=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, r"lora\.rank is 0; use 1 or more"),
        ({"dropout": 1.0}, r"lora\.dropout is 1\.0; it is a chance"),
        ({"method": "boft"}, r"lora\.method is 'boft'; choose from lora, dora"),
        ({"method": "loftq"}, r"lora\.method loftq makes up for rounding to nf4, and quantization is None; set lora"),
        ({"method": "dora", "on_top": True}, r"lora\.on_top needs plain LoRA twice, and lora\.method is dora"),
        ({"on_top": True, "quantization": "nf4"}, r"adds the first adapter to weights that are held in nf4"),
        ({"last_layers": 0}, r"lora\.last_layers is 0; use 1 or more"),
        (
            {"method": "ia3", "quantization": "nf4"},
            r"lora\.method ia3 cannot run on weights held in nf4; choose from lora",
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        LoraSettings(**changes)


@pytest.mark.parametrize("method", on_quantized())
def test_methods_learn_on_four_bits(wide_folder, method):
    base = load_model(wide_folder, device="cpu", quantization="nf4")
    base.llava.requires_grad_(False)
    settings = LoraSettings(rank=4, dropout=0.0, method=method, quantization="nf4")
    wrapped = add_lora(base.llava, settings, connector=False)
    ids = torch.arange(5, 25)[None]
    wrapped(input_ids=ids, labels=ids).loss.backward()
    assert any(one.grad is not None and one.grad.abs().sum() > 0 for one in wrapped.parameters())


def test_an_adapter_is_trained_on(wide_folder, tmp_path):
    base, wrapped, _ = trained(wide_folder, LoraSettings(rank=4, alpha=8))
    first = save_adapter(wrapped, base, tmp_path / "first")
    model = TrainedModel(str(first), ("connector", "language_model"), LoraSettings(rank=4, alpha=8, dropout=0.3))
    expected = logits(load_model(first).llava, base)
    assert torch.allclose(logits(model.network.eval(), model.loaded), expected, atol=1e-5)
    moving = [one for name, one in model.network.named_parameters() if one.requires_grad]
    assert sum(one.numel() for one in moving) == sum(one.numel() for one in wrapped.parameters() if one.requires_grad)
    with torch.no_grad():
        moving[0].add_(1.0)
    second = model.write(tmp_path / "second")
    assert adapter_base(second) == adapter_base(first)
    again = load_model(second)
    assert torch.allclose(logits(again.llava, again), logits(model.network, model.loaded), atol=1e-5)
    assert not torch.allclose(logits(again.llava, again), expected, atol=1e-3)


def test_an_adapter_is_trained_on_with_the_connector_kept(wide_folder, tmp_path):
    base, wrapped, _ = trained(wide_folder, LoraSettings(rank=4))
    first = save_adapter(wrapped, base, tmp_path / "first")
    network = TrainedModel(str(first), ("language_model",), None).network
    assert all("multi_modal_projector" not in name for name, one in network.named_parameters() if one.requires_grad)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (LoraSettings(rank=8, alpha=32), r"has r 4 \(recipe: 8\)\. Delete `lora:` to go on"),
        (LoraSettings(rank=4, alpha=4), r"has lora_alpha 32 \(recipe: 4\)"),
        (LoraSettings(rank=4, method="oft"), r"is of LoraConfig, not oft"),
    ],
)
def test_another_adapter_than_the_one_there_is_refused(wide_folder, tmp_path, lora, message):
    base, wrapped, _ = trained(wide_folder, LoraSettings(rank=4))
    first = save_adapter(wrapped, base, tmp_path / "first")
    with pytest.raises(ConfigError, match=message):
        TrainedModel(str(first), ("connector", "language_model"), lora).network  # noqa: B018


def test_an_adapter_without_a_connector_cannot_train_one(wide_folder, tmp_path):
    base, wrapped, _ = trained(wide_folder, LoraSettings(rank=4), connector=False)
    first = save_adapter(wrapped, base, tmp_path / "first")
    with pytest.raises(ConfigError, match=r"has no connector; set train: \[language_model\]"):
        TrainedModel(str(first), ("connector", "language_model"), None).network  # noqa: B018
