"""What the stages that learn from two answers to a question have in common: `dpo`, `kto` and `reward`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from training.recipe import OptimizerSettings
from training.tuning_settings import PackedSettings, check_files, told_files, told_parts


@dataclass(frozen=True)
class PairSettings(PackedSettings):
    """Settings that `dpo`, `kto` and `reward` share; `data` as `python -m data_recipes.build preferences` writes it."""

    COUNTED: ClassVar[str] = "pairs"
    HELD: ClassVar[str] = "preferences"
    RECIPE: ClassVar[str] = "python -m data_recipes.build preferences"

    pairs: int = 16
    """Questions a step, each with two answers."""
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(lr=1e-4, warmup_steps=20))
    """Learning rate and schedule."""


def describe_run(settings: PairSettings, loss: str) -> str:
    """Say what a run would do, after a look at the data files.

    Args:
        settings: of the run.
        loss: how answers are judged, in words.
    Returns:
        One line.
    """
    check_files(settings)
    return (
        f"{settings.model}: {settings.steps} steps of {settings.pairs} pairs from {told_files(settings)}; loss {loss}; "
        f"{told_parts(settings)}"
    )
