"""Settings of other trainers in a recipe: refused, each with the line to write in its place."""

from __future__ import annotations

import dataclasses

import pytest

from assistant.errors import ConfigError
from training.grpo_settings import GrpoSettings
from training.kto_settings import KtoSettings
from training.preference_settings import DpoSettings
from training.recipe import OptimizerSettings, load_recipe
from training.reward_settings import RewardSettings
from training.settings import LlavaSettings
from training.trainer_keys import OWN_NAMES, REASONS

STAGES = (LlavaSettings, DpoSettings, KtoSettings, GrpoSettings, RewardSettings)


def load(cls, tmp_path, text):
    recipe = tmp_path / "a.yaml"
    recipe.write_text(f"model: m\ndata: [{{path: a.jsonl}}]\nout: o\n{text}")
    return load_recipe(cls, recipe)


def test_every_key_under_trainer_is_told_with_the_line_to_write(tmp_path):
    with pytest.raises(ConfigError) as told:
        load(
            DpoSettings,
            tmp_path,
            "steps: 0.5\ntrainer: {learning_rate: 2.0e-4, beta: 0.2, loss_type: ipo, num_train_epochs: 3, fp16: true, "
            "per_device_train_batch_size: 4, no_such: 1}\n",
        )
    for line in (
        "steps: 0.5",
        "trainer.learning_rate: a setting of trl's trainer, not of this project's own loop; ",
        "write optimizer: {lr: 0.0002}.",
        "write beta: 0.2 at the top of the recipe.",
        "write loss: ipo.",
        "write the number of updates: steps; a dry run tells how often each picture is drawn.",
        "no stage computes in float16; write bf16: true",
        "on all devices together: pairs.",
        "trainer.no_such: a setting of trl's trainer, not of this project's own loop; nothing here is like it",
    ):
        assert line in str(told.value)


def test_keys_at_the_top_are_told_too(tmp_path):
    with pytest.raises(ConfigError, match=r"has 1 mistake\(s\):\n  - max_steps: .*; write steps: 50\.$"):
        load(LlavaSettings, tmp_path, "max_steps: 50\n")
    with pytest.raises(ConfigError, match=r"trainer: this project's own loop trains; take it out"):
        load(LlavaSettings, tmp_path, "trainer: true\n")
    with pytest.raises(ConfigError, match=r"num_generations: .*; write samples: 4\."):
        load(GrpoSettings, tmp_path, "num_generations: 4\n")


def test_settings_that_a_stage_has_are_its_own(tmp_path):
    assert load(KtoSettings, tmp_path, "beta: 0.3\n").beta == 0.3


def test_the_names_that_are_given_are_settings():
    names = {field.name for stage in STAGES for field in dataclasses.fields(stage)}
    inner = {field.name for field in dataclasses.fields(OptimizerSettings)}
    for own in (one for several in OWN_NAMES.values() for one in several):
        outer, _, rest = own.partition(".")
        assert outer in names
        assert not rest or (outer == "optimizer" and rest in inner)
    assert not set(OWN_NAMES) & set(REASONS)
