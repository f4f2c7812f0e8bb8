"""Settings of `grpo`, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from assistant.errors import ConfigError
from training.recipe import OptimizerSettings
from training.tuning_settings import TuningSettings, check_files, told_files, told_parts

REWARD_NAMES = ("answer_match", "finding_f1", "finding_places", "no_prior", "think_format", "brevity")
LEARNED = "learned"
"""The reward that a reward model gives."""
BASELINES = ("group", "rloo", "mean")
AVERAGES = ("dapo", "grpo", "dr_grpo")


@dataclass(frozen=True)
class GrpoSettings(TuningSettings):
    """Settings of `python -m training.grpo`; the rewards judge answers to the examples of `data`."""

    COUNTED: ClassVar[str] = "prompts"

    rewards: dict[str, float] = field(default_factory=lambda: {"answer_match": 1.0})
    """Weight of each reward: answer_match, finding_f1, finding_places, no_prior, think_format, brevity; or learned, the
    chance that `reward_model` gives an answer of being preferred to an average one."""
    reward_model: str | None = None
    """Folder that `training.reward` wrote, for the reward learned. Rewards that can be checked beside it keep the model
    from finding what pleases it and is not right."""
    samples: int = 8
    """Answers drawn for each question."""
    prompts: int = 8
    """Questions a step."""
    temperature: float = 1.0
    """How freely answers are drawn."""
    max_new_tokens: int = 64
    """Most tokens of a drawn answer."""
    baseline: str = "group"
    """What a reward is measured against: group (mean of the question's answers, over their spread), mean (without the
    spread, as in Dr. GRPO), rloo (mean of the other answers)."""
    average: str = "dapo"
    """What the loss is a mean of: dapo (tokens of the step), grpo (answers, each a mean of its tokens), dr_grpo (tokens
    over a fixed length, so that length has no influence)."""
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(lr=3e-5, warmup_steps=10))
    """Learning rate and schedule."""
    report_every: int = 10
    """Steps between two reports and saved states."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.rewards) - {*REWARD_NAMES, LEARNED})
        if unknown or not self.rewards:
            raise ConfigError(f"rewards is {unknown or 'empty'}; choose from {', '.join((*REWARD_NAMES, LEARNED))}.")
        if LEARNED in self.rewards and self.reward_model is None:
            raise ConfigError("rewards has learned, but no reward_model is named; give a folder of training.reward.")
        if self.reward_model is not None and LEARNED not in self.rewards:
            raise ConfigError(
                f"reward_model is {self.reward_model}, but rewards has no learned; add learned: 1.0, or take it out."
            )
        if self.samples < 2:
            raise ConfigError(f"samples is {self.samples}; answers are compared with each other, so use 2 or more.")
        if self.temperature <= 0:
            raise ConfigError(f"temperature is {self.temperature}; equal answers teach nothing, so use one above 0.")
        for name, allowed in (("baseline", BASELINES), ("average", AVERAGES)):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; choose from {', '.join(allowed)}.")
        super().__post_init__()


def describe(settings: GrpoSettings) -> str:
    """Say what a run would do, after a look at the data files.

    Args:
        settings: of the run.
    Returns:
        One line.
    """
    check_files(settings)
    rewards = ", ".join(f"{name} x{weight:g}" for name, weight in settings.rewards.items())
    return (
        f"{settings.model}: {settings.steps} steps of {settings.prompts} questions x {settings.samples} answers from "
        f"{told_files(settings)}; rewards {rewards}; {told_parts(settings)}"
    )
