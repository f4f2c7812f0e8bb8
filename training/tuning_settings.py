"""What the stages that tune a whole model have in common: `align`, `sft`, `dpo`, `kto`, `reward` and `grpo`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from assistant.errors import ConfigError, DataError
from training.adapter import LoraSettings
from training.feature_settings import FeatureCacheSettings
from training.recipe import OptimizerSettings
from training.train_parts import check_parts, tell_parts


@dataclass(frozen=True)
class DataPart:
    """One data file and its share of the training; an entry of `data:`."""

    path: Path
    """JSONL file of examples."""
    weight: float = 1.0
    """How often its pictures are drawn, relative to the other entries: the sum of weights is shared out."""
    balance: str | None = None
    """A name in the examples' truth, such as "breast finding", whose values are then drawn equally often."""

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ConfigError(f"weight is {self.weight}; use a number above 0, or leave the file out.")


@dataclass(frozen=True)
class TuningSettings:
    """Settings that all of these stages share."""

    COUNTED: ClassVar[str] = "pictures"
    """The setting that says how much a step takes, and that `accumulate` divides."""
    HELD: ClassVar[str] = "examples"
    """What data files hold."""
    RECIPE: ClassVar[str] = "python -m data_recipes.build"
    """What builds them."""

    model: str
    """Folder of the model to start from."""
    data: tuple[DataPart, ...]
    """What to learn from."""
    out: Path
    """Run folder; the model is written to `out/model`."""
    preset: str | None = None
    """What `model` is made from, such as biomedclip-mistral-7b: a dry run takes its sizes from it while the folder is
    not there. Without, the name of the folder is looked for."""
    held_out: tuple[Path, ...] = ()
    """Example files that are measured on, such as dev.jsonl: a patient who also stands in `data` is refused."""
    train: tuple[str, ...] = ("connector", "language_model")
    """Parts that train: connector, language_model, head. With `lora` the language model changes by that only."""
    lora: LoraSettings | None = None
    """Low-rank adapters instead of whole weights; the result is a PEFT folder."""
    last_layers: int | None = None
    """Of the language model, train this many layers next to the output only; None for all. With `lora`, use its own."""
    steps: int = 200
    """Updates."""
    accumulate: int = 1
    """Parts that a step is put through the model in, one after the other: less memory, the same step."""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """Learning rate and schedule."""
    feature_cache: FeatureCacheSettings | None = field(default_factory=FeatureCacheSettings)
    """Keep what the image tower, which never trains, makes of each picture; null runs the tower each time."""
    bf16: bool | None = None
    """Compute in bfloat16. Left out, it is chosen as the run begins: on a GPU that has it, and on a CPU where a short
    measurement finds it faster; tuning on pairs stays in float32 there. A resumed run keeps to what was chosen."""
    checkpoint: bool = False
    """Keep only each layer's input for the backward pass and compute the rest again: far less memory, about a quarter
    slower."""
    threads: int = 0
    """CPU threads, 0 for torch's own choice."""
    report_every: int = 20
    """Steps between two reports and saved states."""
    seed: int = 0
    """Start of every random choice."""

    def __post_init__(self) -> None:
        self._check_parts()
        if not self.data:
            raise ConfigError(f"data is empty; name at least one JSONL file of {self.HELD}.")
        for name in ("steps", "report_every", self.COUNTED):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"{name} is {value}; use 1 or more.")
        most = int(getattr(self, self.COUNTED))
        if not 1 <= self.accumulate <= most:
            raise ConfigError(f"accumulate is {self.accumulate}; use 1 to {most}, the {self.COUNTED} of a step.")

    def _check_parts(self) -> None:
        check_parts(self.train, self.lora, self.last_layers)

    @property
    def augmented(self) -> bool:
        """Whether pictures are changed at random, so that nothing can be kept of them."""
        return False

    @property
    def kept_features(self) -> FeatureCacheSettings | None:
        """Where features are kept: the recipe's folder, or one of the run's own; None where they are not."""
        if self.feature_cache is None or self.augmented:
            return None
        return replace(self.feature_cache, folder=self.feature_cache.folder or self.out / "cache" / "features")


@dataclass(frozen=True)
class PackedSettings(TuningSettings):
    """Settings that the stages share which learn from given answers: all but `grpo`."""

    longest: int = 512
    """Most tokens a sequence: a picture and what is asked and answered about it."""
    average: float = 0.0
    """Decay of averaged weights, 0 for none."""
    compile: bool = False
    """Compile the language model's layers: some minutes at the start, then a third faster. Needs a C++ compiler."""


def check_files(settings: TuningSettings) -> None:
    """Refuse a run whose files are not there.

    Args:
        settings: of the run.
    Raises:
        DataError: names the first file that is missing.
    """
    for path in (*(part.path for part in settings.data), *settings.held_out):
        if not path.is_file():
            raise DataError(f"{path} does not exist. Build it with {settings.RECIPE}, or mend the recipe.")


def told_files(settings: TuningSettings) -> str:
    """Return the data files with their weights, in words."""
    return ", ".join(f"{part.path.name} x{part.weight:g}" for part in settings.data)


def told_parts(settings: TuningSettings) -> str:
    """Return what trains, in words."""
    return f"trains {tell_parts(settings.train, settings.lora, settings.last_layers)}"
