"""The update loop: schedule, averages, and a state that loses nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from assistant.errors import ConfigError, TrainingError
from training.loop import Loop, is_hidden_matrix
from training.recipe import OptimizerSettings
from training.run_folder import RunFolder


@dataclass(frozen=True)
class Settings:
    """Of a run without any."""

    steps: int = 8


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))


def step(loop: Loop) -> float:
    """Take one step on data from the loop's own chance; dropout draws from torch's."""
    inputs = torch.randn(6, 4, generator=loop.generator)
    loss = (loop.module(inputs) - inputs.sum(1, keepdim=True)).square().mean()
    loop.update(loss)
    return loss.item()


def test_learning_rate_rises_then_falls_as_half_a_cosine():
    settings = OptimizerSettings(lr=1.0, warmup_steps=4, final_lr_share=0.1)
    loop = Loop(network(), settings, steps=100, seed=0)
    found = {}
    for number in (0, 1, 3, 50, 100, 120):
        loop.step_number = number
        found[number] = loop.learning_rate()
    cosine = {number: 0.1 + 0.9 * (0.5 + 0.5 * math.cos(math.pi * number / 100)) for number in (0, 1, 3)}
    expected = {0: 0.25 * cosine[0], 1: 0.5 * cosine[1], 3: cosine[3], 50: 0.55, 100: 0.1, 120: 0.1}
    assert found == pytest.approx(expected)


def test_slow_parts_and_vectors_get_their_own_settings():
    loop = Loop(network(), OptimizerSettings(lr=1e-2, warmup_steps=1), steps=9, seed=0, slow={"0.": 0.1})
    step(loop)
    groups = {(one["weight_decay"], one["factor"]): one for one in loop.optimizers["optimizer"].param_groups}
    assert set(groups) == {(0.05, 0.1), (0.0, 0.1), (0.0, 1.0), (0.05, 1.0)}
    assert groups[0.05, 0.1]["lr"] == pytest.approx(groups[0.05, 1.0]["lr"] / 10)


def test_frozen_weights_stay():
    module = network()
    module[0].requires_grad_(False)
    before = module[0].weight.clone()
    loop = Loop(module, OptimizerSettings(warmup_steps=1), steps=3, seed=0, average=0.9)
    step(loop)
    assert torch.equal(module[0].weight, before)
    assert not any(name.startswith("0.") for name in loop.averaged)


def test_averages_follow_the_weights_by_the_decay():
    loop = Loop(nn.Linear(1, 1, bias=False), OptimizerSettings(warmup_steps=1), steps=9, seed=0, average=0.5)
    weight = loop.module.weight
    expected = weight.detach().clone()
    for number in range(1, 4):
        loop.update((weight * 2).sum())
        # A short history is not mixed with the random start: the decay begins at 1 / 11.
        decay = min(0.5, number / (number + 10))
        expected = decay * expected + (1 - decay) * weight.detach()
    assert torch.allclose(loop.averaged["weight"], expected)


def test_averages_go_in_and_out():
    loop = Loop(network(), OptimizerSettings(warmup_steps=1), steps=9, seed=0, average=0.9)
    step(loop)
    now = {name: one.clone() for name, one in loop.module.named_parameters()}
    kept = loop.use_average()
    assert all(torch.equal(one, loop.averaged[name]) for name, one in loop.module.named_parameters())
    loop.put_back(kept)
    assert all(torch.equal(one, now[name]) for name, one in loop.module.named_parameters())


def test_gradients_are_clipped_to_the_norm():
    loop = Loop(nn.Linear(1, 1, bias=False), OptimizerSettings(clip_norm=0.5, warmup_steps=1), steps=9, seed=0)
    loop.update((loop.module.weight * 100).sum())
    (state,) = loop.optimizers["optimizer"].state.values()
    assert state["exp_avg"].item() == pytest.approx(0.5 * (1 - 0.9), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "hidden"),
    [
        ("model.language_model.layers.0.mlp.up_proj.weight", (8, 4), True),
        ("model.multi_modal_projector.linear_1.weight", (4, 4), True),
        ("model.language_model.layers.0.self_attn.q_proj.lora_A.default.weight", (2, 8), True),
        ("model.language_model.embed_tokens.weight", (8, 4), False),
        ("lm_head.weight", (8, 4), False),
        ("model.language_model.norm.weight", (4,), False),
        ("patch.projection.weight", (4, 3, 2, 2), False),
    ],
)
def test_muon_takes_matrices_between_hidden_states(name, shape, hidden):
    assert is_hidden_matrix(name, torch.zeros(shape)) is hidden


def test_muon_updates_a_matrix_evenly_in_all_directions():
    module = nn.Sequential(nn.Linear(4, 4, bias=False))
    settings = OptimizerSettings(name="muon", lr=0.1, warmup_steps=1, weight_decay=0)
    loop = Loop(module, settings, steps=1000, seed=0)
    before = module[0].weight.detach().clone()
    strength = torch.diag(torch.tensor([8.0, 4.0, 2.0, 1.0]))
    loop.update((module[0].weight * strength).sum())
    change = torch.linalg.svdvals(module[0].weight.detach() - before)
    # AdamW's size: an update of about 0.2 of the learning rate in each entry's root mean square.
    assert change.max() / change.min() < 2
    assert change.square().mean().sqrt().item() == pytest.approx(0.1 * 0.2 * 4**0.5, rel=0.35)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_resumed_loop_goes_on_as_if_it_had_never_stopped(tmp_path, name):
    settings = OptimizerSettings(name=name, lr=1e-2, warmup_steps=3)
    folder = RunFolder(tmp_path / "run", Settings())
    torch.manual_seed(0)
    loop = Loop(network(), settings, steps=8, seed=1, average=0.9)
    for _ in range(4):
        step(loop)
    loop.save(folder, note="half")
    trace = [step(loop) for _ in range(4)]

    torch.manual_seed(99)
    again = Loop(network(), settings, steps=8, seed=7, average=0.9)
    assert again.restore(folder) == {"step": 4, "note": "half"}
    assert [step(again) for _ in range(4)] == trace
    for name, one in loop.module.state_dict().items():
        assert torch.equal(one, again.module.state_dict()[name]), name
    assert all(torch.equal(one, again.averaged[name]) for name, one in loop.averaged.items())


def test_frozen_weights_are_not_saved_and_others_must_fit(tmp_path):
    folder = RunFolder(tmp_path / "run", Settings())
    half = network()
    half[0].requires_grad_(False)
    loop = Loop(half, OptimizerSettings(), steps=8, seed=1)
    step(loop)
    loop.save(folder)
    tensors, _ = folder.load_state()
    saved = {name for name in tensors if name.startswith("weight/")}
    assert {"weight/3.weight", "weight/1.running_mean"} <= saved
    assert not saved & {"weight/0.weight", "weight/0.bias"}
    again = network()
    again[0].requires_grad_(False)
    Loop(again, OptimizerSettings(), steps=8, seed=1).restore(folder)
    assert torch.equal(again[3].weight, half[3].weight)
    with pytest.raises(TrainingError, match=r"does not fit what is trained \(first: 0\.bias, 0\.weight\)"):
        Loop(network(), OptimizerSettings(), steps=8, seed=1).restore(folder)


def test_nothing_to_go_on_from_is_none(tmp_path):
    loop = Loop(network(), OptimizerSettings(), steps=8, seed=1)
    assert loop.restore(RunFolder(tmp_path / "run", Settings())) is None


@pytest.mark.parametrize(("field", "value"), [("lr", 0.0), ("clip_norm", -1.0)])
def test_settings_that_cannot_train_are_refused(field, value):
    with pytest.raises(ConfigError, match=rf"optimizer\.{field} is {value}; use a number above 0"):
        OptimizerSettings(**{field: value})


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ConfigError, match=r"optimizer\.name is 'sgd'; use adamw or muon"):
        OptimizerSettings(name="sgd")
