"""GRPO: advantages, the mean that a loss is, what is drawn and learned, resuming and warnings."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from assistant.errors import ConfigError, DataError
from assistant.imaging.load import load_picture
from assistant.model.load import load_model
from data_recipes.schema import read_examples, write_examples
from training.adapter import LoraSettings
from training.grpo import main
from training.grpo_settings import REWARD_NAMES, GrpoSettings
from training.policy import PolicyTrainer, run_grpo
from training.policy_loss import Spread, advantages, token_weights
from training.recipe import OptimizerSettings, load_recipe
from training.rewards import REWARDS, Reward
from training.run_folder import RunFolder
from training.settings import DataPart

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


@pytest.fixture(scope="module")
def asked(phantom_data):
    """Six yes-or-no questions on phantoms, beside the pictures."""
    found = [one for one in read_examples(phantom_data) if one.answer_type == "closed" and len(one.images) == 1][:6]
    path = phantom_data.parent / "closed.jsonl"
    write_examples(path, found)
    return path


def settings(model, file, out, **changes) -> GrpoSettings:
    values = {
        "model": str(model),
        "data": (DataPart(file),),
        "out": out,
        "steps": 4,
        "prompts": 3,
        "samples": 4,
        "max_new_tokens": 6,
        "optimizer": OptimizerSettings(lr=1e-3, warmup_steps=2),
        "bf16": False,
        "report_every": 2,
        "rewards": {"brevity": 1.0, "answer_match": 0.5},
    }
    return GrpoSettings(**{**values, **changes})


@pytest.fixture
def trainer(wide_folder, asked, tmp_path):
    chosen = settings(wide_folder, asked, tmp_path / "run")
    return PolicyTrainer(chosen, RunFolder(chosen.out, chosen))


def test_advantages_by_hand():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5]])
    spread = (4 * 0.25 / 3) ** 0.5
    assert advantages(rewards, "mean").tolist() == [[0.5, -0.5, -0.5, 0.5], [0.0] * 4]
    assert advantages(rewards, "rloo")[0].tolist() == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])
    by_hand = [0.5 / spread, -0.5 / spread, -0.5 / spread, 0.5 / spread]
    assert advantages(rewards, "group")[0].tolist() == pytest.approx(by_hand, abs=1e-3)
    assert advantages(rewards, "group")[1].tolist() == [0.0] * 4


def test_the_loss_is_the_mean_that_is_named():
    numbers = torch.tensor([0, 0, 0, 1])
    step = Spread(asked=1, kept=1, answers=2, tokens=4)
    assert token_weights(numbers, "dapo", 10, step).tolist() == pytest.approx([0.25] * 4)
    assert token_weights(numbers, "grpo", 10, step).tolist() == pytest.approx([1 / 6] * 3 + [1 / 2])
    assert token_weights(numbers, "dr_grpo", 10, step).tolist() == pytest.approx([1 / 20] * 4)


def test_the_loss_is_the_policy_gradient_of_the_stock_model(trainer):
    numbers = [0, 3]
    turned, drawn = trainer.draw(numbers, seed=5)
    gains = torch.tensor([[1.0, -1.0, 0.5, -0.5], [0.0, 0.0, 2.0, -2.0]])
    loss = trainer.loss(numbers, turned, drawn, gains).item()
    model, end = trainer.loaded, trainer.loaded.contract.eos_token_ids[0]
    total, tokens = 0.0, 0
    for place, number in enumerate(numbers):
        pixels = model.pixel_values([load_picture(path) for path in trainer.images[number]])
        for one, gain in zip(drawn[place], gains[place], strict=True):
            answer = torch.tensor([*one.ids, end] if one.finished else one.ids)
            ids = torch.tensor([[*turned[place].prompt, *answer.tolist()]])
            with torch.no_grad():
                logits = model.llava(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids)).logits
            along = logits[0, len(turned[place].prompt) - 1 : -1]
            total += float(gain) * F.cross_entropy(along, answer, reduction="sum").item()
            tokens += len(answer)
    assert loss == pytest.approx(total / tokens, rel=2e-2, abs=2e-3)


def test_answers_are_drawn_anew_each_time_and_alike_for_a_seed(trainer):
    _, first = trainer.draw([0, 1], seed=1)
    _, same = trainer.draw([0, 1], seed=1)
    assert [[one.ids for one in row] for row in first] == [[one.ids for one in row] for row in same]
    assert len({one.ids for one in first[0]}) > 1


def test_questions_whose_answers_score_alike_teach_nothing(trainer):
    turned, drawn = trainer.draw([0], seed=1)
    loss = trainer.loss([0], turned, drawn, torch.zeros(1, 4))
    assert not loss.requires_grad


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=8, dropout=0.1)], ids=["whole", "lora"])
def test_the_reward_rises(wide_folder, asked, tmp_path, monkeypatch, lora):
    # An untrained model answers in noise; how many vowels it writes is something that it can learn in a few steps.
    vowels = Reward(lambda text, _: sum(c in "aeiou" for c in text) / max(1, len(text)), lambda _: True, "anything")
    monkeypatch.setitem(REWARDS, "brevity", vowels)
    chosen = settings(
        wide_folder,
        asked,
        tmp_path / "run",
        steps=25,
        prompts=6,
        samples=8,
        max_new_tokens=8,
        rewards={"brevity": 1.0},
        optimizer=OptimizerSettings(lr=3e-3 if lora is None else 1e-2, warmup_steps=2),
        report_every=5,
        lora=lora,
    )
    out = run_grpo(chosen)
    lines = [json.loads(line) for line in (chosen.out / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["reward"] > lines[0]["reward"] + 0.3
    assert (out / "adapter_config.json").exists() is (lora is not None)
    assert load_model(out).contract.image_tokens == 16


def test_a_reward_model_judges_and_its_reward_rises(wide_folder, asked, tmp_path):
    """The reward model has learned nothing but that vowels are better than other letters."""
    import random

    from data_recipes.schema import Preference, write_preferences
    from training.reward_settings import RewardSettings
    from training.reward_trainer import run_reward

    rng = random.Random(0)
    pairs = [
        Preference(
            f"{one.id}~{number}",
            one.images,
            one.messages[:-1],
            *("".join(rng.choices(letters, k=rng.randint(3, 12))) for letters in ("aeiou", "bcdfghlmnprst ")),
            "letters",
            one.source,
            one.licence,
        )
        for one in read_examples(asked)
        for number in range(8)
    ]
    write_preferences(asked.with_name("letters.jsonl"), pairs)
    fast = OptimizerSettings(lr=3e-3, warmup_steps=2)
    taught = RewardSettings(
        model=str(wide_folder),
        data=(DataPart(asked.with_name("letters.jsonl")),),
        out=tmp_path / "reward",
        steps=30,
        pairs=8,
        optimizer=fast,
        bf16=False,
    )
    judge = run_reward(taught)
    chosen = settings(
        wide_folder,
        asked,
        tmp_path / "run",
        rewards={"learned": 1.0},
        reward_model=str(judge),
        steps=60,
        prompts=6,
        samples=8,
        max_new_tokens=8,
        optimizer=fast,
        report_every=20,
    )
    run_grpo(chosen)
    lines = [json.loads(line) for line in (chosen.out / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= line["learned"] <= 1 for line in lines)
    assert lines[-1]["learned"] > lines[0]["learned"] + 0.05


def test_a_run_that_was_cut_short_ends_as_if_it_had_not(wide_folder, asked, tmp_path, cut_short_and_resume):
    whole, halves = (settings(wide_folder, asked, tmp_path / name) for name in ("whole", "halves"))
    run_grpo(whole)
    cut_short_and_resume(run_grpo, halves, step=2)
    one, other = ((run.out / "model" / "model.safetensors").read_bytes() for run in (whole, halves))
    assert one == other


def test_collapse_and_growth_are_warned_of(trainer, caplog):
    with caplog.at_level(logging.WARNING, "training.policy"):
        trainer._watch(2, {"length": 10.0, "yes_said": 0.6, "yes_true": 0.5})
        trainer._watch(4, {"length": 14.0, "yes_said": 1.0, "yes_true": 0.9})
        assert not caplog.records
        trainer._watch(6, {"length": 16.0, "yes_said": 0.98, "yes_true": 0.5})
    told = [record.message for record in caplog.records]
    assert told[0].startswith("step 6: 98 % of the yes-or-no answers are yes, where 50 % should be")
    assert told[1].startswith("step 6: answers have grown from 10.0 to 16.0 tokens; add the reward brevity")


def test_examples_that_a_reward_cannot_judge_are_refused(wide_folder, phantom_data, tmp_path):
    chosen = settings(wide_folder, phantom_data, tmp_path / "run", rewards={"finding_f1": 1.0})
    with pytest.raises(DataError, match=r"examples of .* cannot be judged by finding_f1, first .* it needs a report"):
        PolicyTrainer(chosen, RunFolder(chosen.out, chosen))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": {"bleu": 1.0}}, r"rewards is \['bleu'\]; choose from answer_match"),
        ({"rewards": {}}, "rewards is empty; choose from"),
        ({"rewards": {"learned": 1.0}}, "rewards has learned, but no reward_model is named"),
        ({"reward_model": "runs/reward/model"}, "reward_model is runs/reward/model, but rewards has no learned"),
        ({"samples": 1}, "samples is 1; answers are compared with each other"),
        ({"temperature": 0.0}, r"temperature is 0\.0; equal answers teach nothing"),
        ({"baseline": "none"}, "baseline is 'none'; choose from group, rloo, mean"),
        ({"average": "sum"}, "average is 'sum'; choose from dapo, grpo, dr_grpo"),
        ({"train": ()}, r"train is \[\]; choose from connector"),
        ({"data": ()}, "data is empty"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        settings("starter", tmp_path / "a.jsonl", tmp_path, **changes)


def test_the_shipped_recipe_is_read_and_told(asked, capsys):
    assert tuple(REWARDS) == REWARD_NAMES
    assert load_recipe(GrpoSettings, RECIPES / "grpo.yaml").rewards == {"answer_match": 1.0}
    assert main([str(RECIPES / "grpo.yaml"), "--dry-run", "--set", f"data=[{{path: {asked}}}]"]) == 0
    assert "8 questions x 8 answers from closed.jsonl x1; rewards answer_match x1" in capsys.readouterr().out
