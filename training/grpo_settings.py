"""Settings of `grpo`, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from assistant.errors import ConfigError, DataError
from training.adapter import LoraSettings
from training.feature_settings import FeatureCacheSettings
from training.recipe import OptimizerSettings
from training.settings import DataPart
from training.train_parts import check_parts, tell_parts

REWARD_NAMES = ("answer_match", "finding_f1", "finding_places", "no_prior", "think_format", "brevity")
LEARNED = "learned"
"""The reward that a reward model gives."""
BASELINES = ("group", "rloo", "mean")
AVERAGES = ("dapo", "grpo", "dr_grpo")


@dataclass(frozen=True)
class GrpoSettings:
    """Settings of `python -m training.grpo`."""

    model: str
    """Folder of the model to start from."""
    data: tuple[DataPart, ...]
    """JSONL files of examples whose answers the rewards can judge."""
    out: Path
    """Run folder; the model is written to `out/model`."""
    preset: str | None = None
    """What `model` is made from, such as biomedclip-mistral-7b: a dry run takes its sizes from it while the folder is
    not there. Without, the name of the folder is looked for."""
    held_out: tuple[Path, ...] = ()
    """Example files that are measured on: a patient who also stands in `data` is refused."""
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
    accumulate: int = 1
    """Parts that a step's questions are learned from in, one after the other: less memory, the same step."""
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
    train: tuple[str, ...] = ("connector", "language_model")
    """Parts that train: connector, language_model, head. With `lora` the language model changes by that only."""
    lora: LoraSettings | None = None
    """Low-rank adapters instead of whole weights; the result is a PEFT folder."""
    last_layers: int | None = None
    """Of the language model, train this many layers next to the output only; None for all. With `lora`, use its own."""
    steps: int = 200
    """Updates."""
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(lr=3e-5, warmup_steps=10))
    """Learning rate and schedule."""
    feature_cache: FeatureCacheSettings | None = None
    """Keep what the image tower, which never trains, makes of each picture, for all runs that come."""
    bf16: bool = True
    """Compute in bfloat16."""
    checkpoint: bool = False
    """Keep only each layer's input for the backward pass and compute the rest again: far less memory, about a quarter
    slower."""
    threads: int = 0
    """CPU threads, 0 for torch's own choice."""
    report_every: int = 10
    """Steps between two reports and saved states."""
    seed: int = 0
    """Start of every random choice."""

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
        check_parts(self.train, self.lora, self.last_layers)
        if not self.data:
            raise ConfigError("data is empty; name at least one JSONL file of examples.")
        if not 1 <= self.accumulate <= self.prompts:
            raise ConfigError(f"accumulate is {self.accumulate}; use 1 to {self.prompts}, the prompts of a step.")


def describe(settings: GrpoSettings) -> str:
    """Say what a run would do, after a look at the data files.

    Args:
        settings: of the run.
    Returns:
        One line.
    Raises:
        DataError: a data file is missing.
    """
    for path in (*(part.path for part in settings.data), *settings.held_out):
        if not path.is_file():
            raise DataError(f"{path} does not exist. Build it with python -m data_recipes.build, or mend the recipe.")
    files = ", ".join(f"{part.path.name} x{part.weight:g}" for part in settings.data)
    rewards = ", ".join(f"{name} x{weight:g}" for name, weight in settings.rewards.items())
    trained = tell_parts(settings.train, settings.lora, settings.last_layers)
    return (
        f"{settings.model}: {settings.steps} steps of {settings.prompts} questions x {settings.samples} answers from "
        f"{files}; rewards {rewards}; trains {trained}"
    )
