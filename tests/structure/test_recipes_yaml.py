"""Every recipe that ships says how to run it, and the stage it names accepts every value in it."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

from assistant.errors import ConfigError
from training.recipe import load_recipe
from training.team import Team, join

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "training" / "recipes").glob("*.yaml"))


def _stage(recipe: Path) -> str:
    """Return the module under `training` that the recipe's own comment runs it with."""
    found = re.search(rf"^#.*python -m training\.(\w+) \S*{re.escape(recipe.name)}", recipe.read_text("utf-8"), re.M)
    assert found, (
        f"{recipe.name} has no comment with its command: # python -m training.STAGE training/recipes/{recipe.name}"
    )
    return found[1]


def _settings_class(stage: str) -> type:
    """Return the class that the stage's `main` hands to `stage_main`."""
    tree = ast.parse((ROOT / "training" / f"{stage}.py").read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "stage_main"]
    assert calls, f"training/{stage}.py does not use stage_main"
    settings: type = getattr(importlib.import_module(f"training.{stage}"), ast.unparse(calls[0].args[1]))
    return settings


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_accepted_by_its_stage(recipe: Path) -> None:
    settings = _settings_class(_stage(recipe))
    assert isinstance(load_recipe(settings, recipe), settings)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_with_a_misspelt_key_is_refused(recipe: Path) -> None:
    with pytest.raises(ConfigError, match="no_such_key"):
        load_recipe(_settings_class(_stage(recipe)), recipe, ["no_such_key=1"])


# A setting of each stage with values to choose from, and words of the message that must name them.
CHOICES = {
    "contrast": ("matching", "softmax or sigmoid"),
    "assemble": ("connector", "'linear', 'mlp2x_gelu'"),
    "align": ("train=[{}]", "connector, language_model"),
    "sft": ("train=[{}]", "connector, language_model"),
    "dpo": ("loss", "sigmoid, robust, hinge"),
    "kto": ("train=[{}]", "connector, language_model"),
    "grpo": ("baseline", "group, rloo, mean"),
    "reward": ("train=[{}]", "connector, language_model"),
    "joint": ("loss", "'marginal', 'distill'"),
    "tower": ("bf16", "takes bool"),
}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_all_mistakes_in_a_shipped_recipe_are_told_at_once_with_what_is_allowed(recipe: Path) -> None:
    stage = _stage(recipe)
    key, allowed = CHOICES[stage]
    change = key.format("nonsense") if "{" in key else f"{key}=nonsense"
    with pytest.raises(ConfigError) as caught:
        load_recipe(_settings_class(stage), recipe, [change, "seed=one", "no_such_key=1"])
    told = str(caught.value)
    assert "3 mistake(s)" in told
    assert allowed in told
    assert "seed: 'one' is a str; it takes int." in told


@pytest.mark.parametrize("config", ["gpus", "fsdp", "zero3"])
def test_a_launch_by_a_shipped_configuration_is_what_it_says(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    path = ROOT / "training" / "recipes" / "accelerate" / f"{config}.yaml"
    command = rf"^# accelerate launch --config_file \S*{config}\.yaml -m training\.(\w+) (\S+)"
    said = re.search(command, path.read_text("utf-8"), re.M)
    assert said, f"{config}.yaml has no comment with its command"
    assert (ROOT / said[2]).exists()
    # accelerate refuses keys that it does not know.
    found = load_config_from_file(str(path))
    values = yaml.safe_load(path.read_text("utf-8"))
    assert found.num_processes == values["num_processes"] == 8
    if config == "zero3":
        monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
        for name, value in values["deepspeed_config"].items():
            monkeypatch.setenv(f"ACCELERATE_DEEPSPEED_{name.upper()}", str(value).lower())
        assert join() == Team()  # alone, there is nothing to spread, and nothing is refused
