"""Every recipe that ships says how to run it, and the stage it names accepts every value in it."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from assistant.errors import ConfigError
from training.recipe import load_recipe

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
