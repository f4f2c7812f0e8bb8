"""Recipes and the command line that every stage shares."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assistant.errors import ConfigError
from training.align import main as align
from training.contrast import main as contrast
from training.recipe import load_recipe
from training.settings import DataPart, LlavaSettings
from training.sft import main as sft

RECIPES = Path(__file__).parents[2] / "training" / "recipes"

# In one process of its own: what a help text and a dry run import.
_LIGHT = """
import contextlib, importlib, io, sys
recipes, out = sys.argv[1:]
for stage in ("contrast", "assemble", "align", "sft"):
    main = importlib.import_module(f"training.{stage}").main
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):
        main(["--help"])
    assert "--dry-run" in told.getvalue(), stage
    if stage in ("align", "sft", "assemble"):
        continue  # their dry runs count tokens and weights
    with contextlib.redirect_stdout(io.StringIO()) as told:
        assert main([f"{recipes}/starter_{stage}.yaml", "--set", f"out={out}", "--dry-run"]) == 0, stage
    assert told.getvalue().count("\\n") == 1, stage
heavy = {"torch", "transformers", "numpy", "PIL", "timm", "open_clip", "peft"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("")
    return path


def test_help_and_dry_run_import_nothing_heavy_and_write_nothing(tmp_path):
    command = [sys.executable, "-c", _LIGHT, str(RECIPES), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=RECIPES.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_line_goes_over_the_recipe(data, tmp_path):
    changes = ["steps=7", "optimizer.lr=1e-4", f"data=[{{path: {data}, weight: 2}}]"]
    settings = load_recipe(LlavaSettings, RECIPES / "starter_sft.yaml", changes)
    assert (settings.steps, settings.optimizer.lr, settings.optimizer.warmup_steps) == (7, 1e-4, 100)
    assert settings.data == (DataPart(data, 2.0),)


def test_a_dry_run_says_what_would_run(small_data, capsys):
    arguments = [str(RECIPES / "starter_sft.yaml"), "--dry-run", "--set", f"data=[{{path: {small_data}, weight: 2}}]"]
    arguments += ["--set", "steps=7", "--set", "lora={rank: 8}", "--set", "model=starter"]
    assert sft(arguments) == 0
    assert capsys.readouterr().out.startswith(
        "starter: 7 steps of 16 pictures from dev.jsonl x2; trains connector, language_model (LoRA rank 8)\n"
    )


def test_missing_data_are_told_before_anything_starts(capsys):
    assert align([str(RECIPES / "starter_align.yaml"), "--set", "data=[{path: no/such.jsonl}]", "--dry-run"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: no/such.jsonl does not exist. Build it with python -m data_recipes.build")


def test_every_mistake_of_a_recipe_is_told_at_once(tmp_path, capsys):
    recipe = tmp_path / "bad.yaml"
    recipe.write_text("data: [a.jsonl]\nout: runs/x\nstep: 3\nbatch_size: many\nteacher: {arch: resnet18, steps: 0}\n")
    assert contrast([str(recipe), "--dry-run"]) == 2
    told = capsys.readouterr().err
    assert "bad.yaml has 3 mistake(s)" in told
    assert "step: unknown key; did you mean 'steps'?" in told
    assert "batch_size: 'many' is a str; it takes int." in told
    assert "teacher.steps is 0; use 1 or more, or `teacher: null` for none." in told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train=[vision_tower]"], r"train is \['vision_tower'\]; choose from connector, language_model"),
        (["data=[]"], "data is empty; name at least one"),
        (["steps=0"], "steps is 0; use 1 or more"),
        (["report_every=0"], "report_every is 0; use 1 or more"),
        (["pictures=0"], "pictures is 0; use 1 or more"),
        (["data=[{path: a.jsonl, weight: 0}]"], r"weight is 0\.0; use a number above 0"),
        (["lora.rank=0"], r"lora\.rank is 0; use 1 or more"),
        (["lora.dropout=1"], r"lora\.dropout is 1\.0; it is a chance"),
        (["augment.erase=2"], r"augment\.erase is 2\.0; it is a chance"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe(LlavaSettings, RECIPES / "starter_sft.yaml", changes)


def test_a_stage_of_one_process_refuses_to_be_launched_in_several(tmp_path, monkeypatch, capsys):
    from training.assemble import main

    recipe = tmp_path / "a.yaml"
    recipe.write_text(f"encoder: e\nllm: m\nout: {tmp_path / 'm'}\n")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert main([str(recipe)]) == 2
    assert (
        "training.assemble runs in one process; start it with python -m training.assemble." in capsys.readouterr().err
    )
    monkeypatch.setenv("RANK", "3")
    assert main([str(recipe)]) == 2
    assert capsys.readouterr().err == ""
