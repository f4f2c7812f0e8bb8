"""The reward model: its loss by hand, what it reads, what it learns, how it is kept, and what is refused."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.errors import ConfigError, DataError, ModelError, TrainingError
from assistant.imaging.load import load_picture
from assistant.model.load import load_model
from data_recipes.schema import read_preferences
from training.adapter import LoraSettings
from training.recipe import OptimizerSettings, load_recipe
from training.reward import main
from training.reward_model import CARD, HEAD, Asked, RewardModel
from training.reward_settings import RewardSettings
from training.reward_trainer import RewardTrainer, bradley_terry, run_reward
from training.run_folder import RunFolder
from training.settings import DataPart
from training.team import Team

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def settings(model, folder, out, **changes) -> RewardSettings:
    values = {
        "model": str(model),
        "data": (DataPart(folder / "train.jsonl"),),
        "held_out": (folder / "dev.jsonl",),
        "out": out,
        "steps": 6,
        "pairs": 6,
        "longest": 1000,
        "optimizer": OptimizerSettings(lr=3e-3, warmup_steps=2),
        "bf16": False,
        "report_every": 2,
    }
    return RewardSettings(**{**values, **changes})


@pytest.fixture
def trainer(wide_folder, reward_pairs, tmp_path):
    chosen = settings(wide_folder, reward_pairs, tmp_path / "run")
    return RewardTrainer(chosen, RunFolder(chosen.out, chosen))


def test_the_loss_by_hand():
    rewards = torch.tensor([[1.0, -0.5], [0.0, 0.0]])

    def log_sigmoid(x):
        return -math.log(1 + math.exp(-x))

    assert bradley_terry(rewards).tolist() == pytest.approx([-log_sigmoid(1.5), math.log(2)])
    assert bradley_terry(rewards, margin=1.0).tolist() == pytest.approx([-log_sigmoid(0.5), -log_sigmoid(-1.0)])
    centred = [-log_sigmoid(1.5) + 0.1 * 0.25, math.log(2)]
    assert bradley_terry(rewards, centre=0.1).tolist() == pytest.approx(centred)
    smoothed = [-0.8 * log_sigmoid(1.5) - 0.2 * log_sigmoid(-1.5), math.log(2)]
    assert bradley_terry(rewards, smoothing=0.2).tolist() == pytest.approx(smoothed)


def test_at_the_start_no_answer_is_better(trainer):
    loss, told = trainer.loss(range(6))
    assert loss.item() == pytest.approx(math.log(2))
    assert (told["margin"][0], told["mean"][0]) == (0.0, 0.0)


def test_what_is_read_is_the_stock_models_state_at_the_answers_end(trainer, reward_pairs):
    model = trainer.loaded
    trainer.network.eval()
    with torch.no_grad():
        states = trainer.packed.answer_states(*trainer.batch(range(4)))
    for number, one in enumerate(list(read_preferences(reward_pairs / "train.jsonl"))[:4]):
        pixels = model.pixel_values([load_picture(path) for path in one.image_paths(reward_pairs)])
        for column, turned in enumerate((trainer.pairs[number].first, trainer.pairs[number].second)):
            ids = torch.tensor([[*turned.prompt, *turned.answer]])
            with torch.no_grad():
                found = model.llava.model(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids))
            # The pictures are kept at the model's size in whole numbers; the rest is rounding.
            assert torch.allclose(states[2 * number + column], found.last_hidden_state[0, -1], atol=2e-2)


def test_pairs_on_unseen_pictures_are_put_in_order(learned_reward):
    out = learned_reward
    lines = [json.loads(line) for line in (out.parent / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.3 < lines[0]["loss"]
    found = json.loads((out / CARD).read_text())["held_out"]
    assert found["pairs"] == 30
    assert found["accuracy"]["low"] > 0.5
    assert found["by_reason"]["mentions a prior"]["accuracy"] == found["accuracy"]
    assert lines[-1]["held_out"] == found["accuracy"]["value"]


def test_what_is_written_scores_as_what_was_trained(learned_reward, reward_pairs, wide_folder):
    out = learned_reward
    model = RewardModel.open(out)
    assert model.loaded.contract.base is not None
    records = list(read_preferences(reward_pairs / "dev.jsonl"))
    asked = [Asked(tuple(one.image_paths(reward_pairs)), _example(one), (one.chosen, one.rejected)) for one in records]
    scores = np.array(model.score(asked, batch_size=5))
    told = json.loads((out / CARD).read_text())["held_out"]["accuracy"]["value"]
    assert (scores[:, 0] > scores[:, 1]).mean() == pytest.approx(told, abs=1e-4)
    alone = [model.score([Asked(one.images, one.example, (text,))])[0][0] for one in asked[:2] for text in one.answers]
    assert alone == pytest.approx(scores[:2].flatten().tolist(), abs=1e-4)
    chances = np.array(model.chances(asked))
    assert ((chances > 0) & (chances < 1)).all()
    assert chances[0, 0] == pytest.approx(1 / (1 + math.exp(model.card.centre - scores[0, 0])))
    assert model.card.spread > 0


def _example(one):
    from data_recipes.schema import Example

    messages = [*one.messages, {"role": "assistant", "content": one.chosen}]
    return Example(one.id, one.images, messages, "chat", "open", source=one.source, licence=one.licence)


@pytest.mark.parametrize(
    ("changes", "whole"),
    [({"train": ()}, False), ({"last_layers": 1}, True), ({"average": 0.9}, True)],
    ids=["head alone", "last layer", "averaged"],
)
def test_other_ways_to_train_are_kept_and_opened(wide_folder, reward_pairs, tmp_path, changes, whole):
    chosen = settings(wide_folder, reward_pairs, tmp_path / "run", **changes)
    trainer = RewardTrainer(chosen, RunFolder(chosen.out, chosen))
    names = {name for name, one in trainer.both.named_parameters() if one.requires_grad}
    if not chosen.train:
        assert names == {"reward_head.linear.weight", "reward_head.linear.bias"}
    if chosen.last_layers:
        assert {name.split(".layers.")[1][0] for name in names if ".layers." in name} == {"1"}
    out = trainer.run(resume=False)
    assert (out / "config.json").exists() is whole
    model = RewardModel.open(out)
    expected = trainer.rewards_of_all([0, 1])
    one = next(iter(read_preferences(reward_pairs / "train.jsonl")))
    found = model.score([Asked(tuple(one.image_paths(reward_pairs)), _example(one), (one.chosen, one.rejected))])
    assert found[0] == pytest.approx(expected[0].tolist(), abs=1e-4)


def test_an_adapter_is_gone_on_with_or_left_as_it_is(adapter, reward_pairs, tmp_path):
    chosen = settings(adapter, reward_pairs, tmp_path / "on", steps=2)
    out = run_reward(chosen)
    assert load_model(out).contract.base == load_model(adapter).contract.base
    alone = settings(adapter, reward_pairs, tmp_path / "alone", steps=2, train=())
    out = run_reward(alone)
    assert sorted(path.name for path in out.iterdir()) == [CARD, HEAD]
    assert RewardModel.open(out).loaded.folder == adapter


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=4, dropout=0.3)], ids=["whole", "lora"])
def test_a_run_that_was_cut_short_ends_as_if_it_had_not(
    wide_folder, reward_pairs, tmp_path, cut_short_and_resume, lora
):
    whole, halves = (
        settings(wide_folder, reward_pairs, tmp_path / name, average=0.9, lora=lora) for name in ("whole", "halves")
    )
    run_reward(whole)
    cut_short_and_resume(run_reward, halves, step=4)
    for name in (HEAD, "adapter_model.safetensors" if lora else "model.safetensors"):
        one, other = ((run.out / "model" / name).read_bytes() for run in (whole, halves))
        assert one == other


def test_a_run_without_held_out_pairs_says_so(wide_folder, reward_pairs, tmp_path):
    chosen = settings(wide_folder, reward_pairs, tmp_path / "run", steps=2, held_out=())
    assert json.loads((run_reward(chosen) / CARD).read_text())["held_out"] == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": -1.0}, r"margin is -1\.0; use 0 or more"),
        ({"centre": -1.0}, r"centre is -1\.0; use 0 or more"),
        ({"label_smoothing": 0.5}, r"label_smoothing is 0\.5; it is a share"),
        ({"train": ("head",)}, r"train is \['head'\]; choose from connector, language_model"),
        ({"train": (), "lora": LoraSettings()}, "train is empty, so `lora:` has nothing to change"),
        ({"train": (), "last_layers": 2}, "last_layers is 2, but train has no language_model"),
        ({"data": ()}, "data is empty"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(reward_pairs, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        settings("starter", reward_pairs, tmp_path, **changes)


def test_a_patient_on_both_sides_is_refused(wide_folder, reward_pairs, tmp_path):
    chosen = settings(wide_folder, reward_pairs, tmp_path / "run", held_out=(reward_pairs / "train.jsonl",))
    with pytest.raises(DataError, match=r"patients of .*train\.jsonl also stand in .*train\.jsonl"):
        RewardTrainer(chosen, RunFolder(chosen.out, chosen))


def test_folders_that_are_no_reward_model_are_refused(wide_folder, learned_reward, tmp_path):
    out = learned_reward
    with pytest.raises(ModelError, match=r"is no reward model: it has no reward\.json"):
        RewardModel.open(wide_folder)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in out.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    card = json.loads((copy / CARD).read_text())
    (copy / CARD).write_text(json.dumps({**card, "model": "0" * 16}))
    with pytest.raises(ModelError, match=r"belongs to model 0{16}, but .* is [0-9a-f]{16}"):
        RewardModel.open(copy)
    (copy / CARD).write_text(json.dumps({**card, "width": 7}))
    with pytest.raises(ModelError, match=r"holds .*, and the language model is 64 wide"):
        RewardModel.open(copy)
    (copy / CARD).write_text("{")
    with pytest.raises(ModelError, match=r"reward\.json is broken"):
        RewardModel.open(copy)


def test_a_head_whose_model_is_gone_is_refused(wide_folder, reward_pairs, tmp_path):
    out = run_reward(settings(wide_folder, reward_pairs, tmp_path / "run", steps=1, train=()))
    card = json.loads((out / CARD).read_text())
    (out / CARD).write_text(json.dumps({**card, "base": "/no/such/folder"}))
    with pytest.raises(ModelError, match=r"is a head on the model '/no/such/folder', and no model folder is there"):
        RewardModel.open(out)


def test_an_answer_that_does_not_fit_is_refused(learned_reward, reward_pairs):
    one = next(iter(read_preferences(reward_pairs / "dev.jsonl")))
    with pytest.raises(DataError, match=r"takes \d+ tokens with its longest answer, and the reward model reads 512"):
        RewardModel.open(learned_reward).score([Asked((), _example(one), ("lung " * 600,))])


def test_what_a_model_may_write_is_scored(learned_reward, reward_pairs):
    one = next(iter(read_preferences(reward_pairs / "dev.jsonl")))
    asked = Asked(tuple(one.image_paths(reward_pairs)), _example(one), ("", "Clear lungs.", "Clear <image>lungs."))
    found = RewardModel.open(learned_reward).score([asked])[0]
    assert all(map(math.isfinite, found))
    assert found[1] == pytest.approx(found[2], abs=1e-4)


def test_the_shipped_recipe_is_read_and_told(reward_pairs, capsys, caplog):
    assert load_recipe(RewardSettings, RECIPES / "reward.yaml").lora == LoraSettings(16, 32)
    here = [
        "--set",
        f"data=[{{path: {reward_pairs / 'train.jsonl'}}}]",
        "--set",
        f"held_out=[{reward_pairs / 'dev.jsonl'}]",
        "--set",
        "longest=1000",
    ]
    with caplog.at_level(logging.INFO):
        assert main([str(RECIPES / "reward.yaml"), "--dry-run", *here]) == 0
    told = capsys.readouterr().out
    assert "Measured on 30 pairs of dev.jsonl: 30 mentions a prior" in told
    assert "worse (mentions a prior)" in told
    assert told.startswith(
        "starter: 300 steps of 16 pairs from train.jsonl x1; loss Bradley-Terry, centre 0.01; trains connector, "
        "language_model (LoRA rank 16); measured on dev.jsonl"
    )
    assert main([str(RECIPES / "reward.yaml"), "--dry-run", *here[:2], "--set", "held_out=[no.jsonl]"]) == 2
    assert "no.jsonl does not exist" in capsys.readouterr().err


def test_parts_of_a_step_sum_to_the_step(trainer):
    torch.nn.init.normal_(trainer.head.linear.weight, generator=torch.Generator().manual_seed(0))
    trainer.network.eval()
    whole = trainer.loss(range(6))[0].item()
    parts = [trainer.loss(numbers, 6)[0].item() for numbers in (range(2), range(2, 6))]
    assert sum(parts) == pytest.approx(whole, rel=1e-4)


def test_weights_that_are_spread_out_are_refused(wide_folder, reward_pairs, tmp_path):
    chosen = settings(wide_folder, reward_pairs, tmp_path / "run")
    with pytest.raises(TrainingError, match="reward measures on held-out pairs with whole weights, which FSDP spreads"):
        RewardTrainer(chosen, RunFolder(chosen.out, chosen), Team(0, 2, 0, sharding="FSDP"))
