"""Started once in every process by test_team: each stage for some steps, from what the test wrote down."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from assistant.errors import TrainingError
from training.adapter import LoraSettings
from training.grpo_settings import GrpoSettings
from training.judged_answers import run_kto
from training.kto_settings import KtoSettings
from training.llava import run_stage
from training.policy import run_grpo
from training.preference import run_dpo
from training.preference_settings import DpoSettings
from training.recipe import OptimizerSettings
from training.reward_settings import RewardSettings
from training.reward_trainer import run_reward
from training.run_folder import RunFolder
from training.settings import DataPart, LlavaSettings

STEPS = 4


class Stopped(Exception):
    """A run that is cut short."""


def sft_settings(model: str, root: Path, out: Path, **changes) -> LlavaSettings:
    """Return the settings of a short run of sft."""
    values = {"steps": STEPS, "pictures": 4, "questions": 3, "bf16": False, "report_every": 1, "store_side": 32}
    values |= {"longest": 400, "optimizer": OptimizerSettings(lr=3e-3, warmup_steps=2), "average": 0.9}
    return LlavaSettings(model, (DataPart(root / "small" / "dev.jsonl"),), out, **{**values, **changes})


def stages(model: str, root: Path, out: Path) -> list[tuple]:
    """Return (name, function, settings) of what is run."""
    lora = LoraSettings(rank=4, dropout=0.0)
    shared = LoraSettings(rank=2, dropout=0.0, method="adalora", options={"tinit": 1, "tfinal": 1})
    values = {"steps": STEPS, "bf16": False, "report_every": 1, "optimizer": OptimizerSettings(lr=3e-3, warmup_steps=2)}
    judged = {**values, "pairs": 4, "stop_below": 100.0, "optimizer": OptimizerSettings(lr=1e-3, warmup_steps=2)}
    pairs = (DataPart(root / "pairs" / "few.jsonl"),)
    asked = (DataPart(root / "small" / "dev.jsonl"),)
    drawn = {"prompts": 4, "samples": 3, "max_new_tokens": 5, "rewards": {"brevity": 1.0}}
    return [
        ("sft", run_stage, sft_settings(model, root, out / "sft")),
        ("lora", run_stage, sft_settings(model, root, out / "lora", lora=lora, accumulate=2, checkpoint=True)),
        ("dora", run_stage, sft_settings(model, root, out / "dora", lora=replace(lora, method="dora"))),
        ("dpo", run_dpo, DpoSettings(model, pairs, out / "dpo", sft_weight=0.1, lora=lora, **judged)),
        ("kto", run_kto, KtoSettings(model, pairs, out / "kto", **judged)),
        ("reward", run_reward, RewardSettings(model, pairs, out / "reward", pairs=4, accumulate=2, **values)),
        ("adalora", run_stage, sft_settings(model, root, out / "adalora", lora=shared)),
        ("grpo", run_grpo, GrpoSettings(model, asked, out / "grpo", accumulate=2, **{**values, **drawn})),
    ]


def half_settings(model: str, root: Path, out: Path) -> LlavaSettings:
    """Return the settings of the run that is cut short."""
    return replace(sft_settings(model, root, out), lora=LoraSettings(rank=4, dropout=0.0))


def cut_short(settings: LlavaSettings, *, go_on: bool = True) -> None:
    """Run half of the steps, stop as if killed, and go on."""
    save = RunFolder.save_state

    def stop_at_half(folder, tensors, numbers):
        save(folder, tensors, numbers)
        if numbers["step"] == STEPS // 2:
            raise Stopped

    RunFolder.save_state = stop_at_half
    try:
        run_stage(settings)
        raise AssertionError("it was not stopped")
    except Stopped:
        RunFolder.save_state = save
    if go_on:
        run_stage(settings, resume=True)


def main(kind: str, model: str, root: Path, out: Path) -> None:
    """Run the stages, and one of them cut short."""
    for name, run, settings in stages(model, root, out):
        if kind != "plain" and name in ("grpo", "reward", "adalora"):
            continue
        run(settings)
    cut_short(half_settings(model, root, out / "halves"))
    if kind != "plain":
        run_stage(half_settings(model, root, out / "moved"), resume=True)
        refused(model, root, out)


def refused(model: str, root: Path, out: Path) -> None:
    """Note down what FSDP refuses."""
    told = []
    quantized = sft_settings(model, root, out / "nf4", lora=LoraSettings(rank=4, quantization="nf4"))
    muon = sft_settings(model, root, out / "muon", optimizer=OptimizerSettings(name="muon"))
    grpo = next(one for one in stages(model, root, out) if one[0] == "grpo")
    for run, settings in ((run_stage, quantized), (run_stage, muon), grpo[1:]):
        try:
            run(settings)
        except TrainingError as error:
            told.append(str(error))
    (out / f"refused-{id(told)}.txt").write_text("\n".join(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
