"""Every stage: a step in parts is the whole step, bfloat16 is near float32, and checkpointing changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from data_recipes.schema import read_preferences, write_preferences
from training.adapter import LoraSettings
from training.grpo_settings import GrpoSettings
from training.judged_answers import run_kto
from training.kto_settings import KtoSettings
from training.llava import LlavaTrainer, run_stage
from training.policy import PolicyTrainer, run_grpo
from training.preference import PreferenceTrainer, run_dpo
from training.preference_settings import DpoSettings
from training.recipe import OptimizerSettings
from training.run_folder import RunFolder
from training.settings import DataPart, LlavaSettings
from training.trainable import TrainedModel

COMMON = {"steps": 2, "bf16": False, "report_every": 1, "optimizer": OptimizerSettings(lr=1e-3, warmup_steps=1)}


@pytest.fixture(scope="module")
def files(make_data, small_data, tmp_path_factory):
    """Questions, and eight pairs."""
    root = tmp_path_factory.mktemp("steps")
    make_data("phantom", None, root / "phantoms", limit=8, seed=4)
    make_data("preferences", root / "phantoms" / "train.jsonl", root / "pairs", seed=1)
    kept = [one for one in read_preferences(root / "pairs" / "preferences.jsonl") if one.reason == "wrong answer"][:8]
    write_preferences(root / "pairs" / "few.jsonl", kept)
    return {"asked": small_data, "pairs": root / "pairs" / "few.jsonl"}


def run(stage: str, model: Path, files: dict[str, Path], out: Path, **changes) -> list[dict[str, float]]:
    """Run two steps of a stage; returns its lines of metrics."""
    asked, pairs = (DataPart(files["asked"]),), (DataPart(files["pairs"]),)
    values = {**COMMON, **changes}
    if stage in ("align", "sft"):
        train = ("connector",) if stage == "align" else ("connector", "language_model")
        kind = {"pictures": 6, "questions": 3, "longest": 400, "store_side": 32, "augment": None, "train": train}
        run_stage(LlavaSettings(str(model), asked, out, **{**kind, **values}))
    elif stage == "grpo":
        drawn = {"prompts": 6, "samples": 4, "max_new_tokens": 6, "rewards": {"brevity": 1.0}}
        run_grpo(GrpoSettings(str(model), asked, out, **drawn, **values))
    else:
        judged = {"pairs": 6, "stop_below": 100.0}
        kind, go = (DpoSettings, run_dpo) if stage == "dpo" else (KtoSettings, run_kto)
        more = {"sft_weight": 0.2} if stage == "dpo" else {}
        go(kind(str(model), pairs, out, **judged, **more, **values))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


@pytest.mark.parametrize("stage", ["align", "sft", "dpo", "kto", "grpo"])
def test_a_step_in_parts_is_the_whole_step(wide_folder, files, tmp_path, stage):
    whole = run(stage, wide_folder, files, tmp_path / "whole")
    parts = run(stage, wide_folder, files, tmp_path / "parts", accumulate=3)
    assert whole[0]["gradient"] > 0
    for line, same in zip(whole, parts, strict=True):
        assert same == pytest.approx(line, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("stage", ["align", "sft", "dpo", "kto"])
def test_bfloat16_is_near_float32(wide_folder, files, tmp_path, stage):
    exact = run(stage, wide_folder, files, tmp_path / "exact")
    near = run(stage, wide_folder, files, tmp_path / "near", bf16=True)
    assert near[0]["gradient"] != exact[0]["gradient"]
    assert near[0]["gradient"] == pytest.approx(exact[0]["gradient"], rel=0.1)
    assert near[0]["loss"] == pytest.approx(exact[0]["loss"], rel=0.05, abs=0.02)


def test_bfloat16_of_grpo_is_near_float32_on_the_same_answers(wide_folder, files, tmp_path):
    # In a run the answers themselves differ: they are drawn from what is rounded.
    settings = GrpoSettings(str(wide_folder), (DataPart(files["asked"]),), tmp_path / "run", bf16=False, samples=4)
    trainer = PolicyTrainer(settings, RunFolder(settings.out, settings))
    turned, drawn = trainer.draw([0, 1], seed=3)
    gains = torch.tensor([[1.0, -1.0, 0.5, 2.0], [0.0, 1.0, 2.0, -2.0]])
    exact = trainer.loss([0, 1], turned, drawn, gains).item()
    trainer.packed.bf16 = True
    near = trainer.loss([0, 1], turned, drawn, gains).item()
    assert near != exact
    assert near == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("stage", ["sft", "dpo", "grpo"])
def test_checkpointing_changes_nothing(wide_folder, files, tmp_path, stage):
    lora = LoraSettings(rank=4, dropout=0.0)
    kept = run(stage, wide_folder, files, tmp_path / "kept", lora=lora)
    again = run(stage, wide_folder, files, tmp_path / "again", lora=lora, checkpoint=True)
    for line, same in zip(kept, again, strict=True):
        assert same == pytest.approx(line, rel=1e-4, abs=1e-6)


def test_checkpointing_keeps_less(wide_folder, files, tmp_path):
    held = {}
    for checkpoint in (False, True):
        out = tmp_path / str(checkpoint)
        values = {**COMMON, "pictures": 6, "longest": 400, "store_side": 32, "checkpoint": checkpoint}
        settings = LlavaSettings(str(wide_folder), (DataPart(files["asked"]),), out, **values)
        trainer = LlavaTrainer(settings, RunFolder(out, settings))
        sizes: list[int] = []

        def keep(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        ((batch, images),) = trainer.material.draw(32, torch.Generator().manual_seed(0))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            trainer.loss(batch, images)
        held[checkpoint] = sum(sizes)
    assert held[True] < 0.5 * held[False]


@pytest.mark.parametrize(
    "make",
    [
        lambda model, files, out: LlavaTrainer(
            s := LlavaSettings(str(model), (DataPart(files["asked"]),), out, longest=400), RunFolder(out, s)
        ),
        lambda model, files, out: PreferenceTrainer(
            s := DpoSettings(str(model), (DataPart(files["pairs"]),), out), RunFolder(out, s)
        ),
        lambda model, files, out: PolicyTrainer(
            s := GrpoSettings(str(model), (DataPart(files["asked"]),), out), RunFolder(out, s)
        ),
    ],
    ids=["sft", "dpo", "grpo"],
)
def test_what_trains_is_held_in_float32(wide_folder, files, tmp_path, make: Callable):
    network = make(wide_folder, files, tmp_path / "run").network
    assert {one.dtype for one in network.parameters() if one.requires_grad} == {torch.float32}


def test_weights_that_were_in_bfloat16_train_in_float32_and_are_written_as_they_were(wide_folder, tmp_path):
    from assistant.model.load import load_model
    from assistant.model.save import save_model

    half = save_model(load_model(wide_folder), tmp_path / "half", dtype="bfloat16")
    model = TrainedModel(str(half), ("connector",), None)
    model.loaded.llava.to(torch.bfloat16)
    connector = model.loaded.llava.model.multi_modal_projector.linear_1.weight
    network = model.network
    assert connector.dtype == torch.float32
    assert network.lm_head.weight.dtype == torch.bfloat16
    written = load_model(model.write(tmp_path / "out"), dtype="bfloat16")
    assert torch.equal(written.llava.lm_head.weight, network.lm_head.weight)
    assert connector.dtype == torch.bfloat16
