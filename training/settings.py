"""Settings of the stages that train connector and language model: `align` and `sft`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from assistant.errors import ConfigError, DataError
from training.adapter import LoraSettings
from training.augment_settings import AugmentSettings
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
class LlavaSettings:
    """Settings of `python -m training.align` and `python -m training.sft`."""

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
    whiten: bool = False
    """Begin with a connector that evens out the tower's features, for a connector that is still untrained."""
    steps: int = 1000
    """Updates."""
    pictures: int = 16
    """Tuples of pictures a step."""
    accumulate: int = 1
    """Parts that a step's pictures are put through the model in, one after the other: less memory, the same step."""
    questions: int = 6
    """Most questions a tuple of pictures, packed into one sequence."""
    longest: int = 512
    """Most tokens a sequence."""
    length_power: float = 0.5
    """Weight of an answer of n tokens is n to this power: 1 counts tokens, 0 counts answers."""
    augment: AugmentSettings | None = field(default_factory=AugmentSettings)
    """Changes to the pictures; null for none, which `feature_cache` needs."""
    feature_cache: FeatureCacheSettings | None = None
    """Keep what the image tower, which never trains, makes of each picture, for all runs that come."""
    mirror: tuple[str, ...] = ("brain", "breast", "skin", "peripheral blood")
    """Regions whose pictures may be mirrored where no answer names a side."""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """Learning rate and schedule."""
    average: float = 0.0
    """Decay of averaged weights, 0 for none."""
    dropout: float = 0.0
    """Dropout on the connector's output, which keeps few pictures from being learned by heart."""
    bf16: bool = True
    """Compute in bfloat16."""
    checkpoint: bool = False
    """Keep only each layer's input for the backward pass and compute the rest again: far less memory, about a quarter
    slower."""
    compile: bool = False
    """Compile the language model's layers: some minutes at the start, then a third faster. Needs a C++ compiler."""
    threads: int = 0
    """CPU threads, 0 for torch's own choice."""
    report_every: int = 100
    """Steps between two reports and saved states."""
    store_side: int = 160
    """Pixels a side at which pictures are kept decoded."""
    seed: int = 0
    """Start of every random choice."""

    def __post_init__(self) -> None:
        check_parts(self.train, self.lora, self.last_layers)
        if not self.data:
            raise ConfigError("data is empty; name at least one JSONL file of examples.")
        if not 1 <= self.accumulate <= self.pictures:
            raise ConfigError(f"accumulate is {self.accumulate}; use 1 to {self.pictures}, the pictures of a step.")
        if self.feature_cache and self.augmented:
            raise ConfigError(
                "feature_cache keeps pictures as they are, but `augment` changes them; set augment: null."
            )

    @property
    def augmented(self) -> bool:
        """Whether pictures are changed at random."""
        return self.augment is not None and not self.augment.changes_nothing


def describe(settings: LlavaSettings) -> str:
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
    trained = tell_parts(settings.train, settings.lora, settings.last_layers)
    return f"{settings.model}: {settings.steps} steps of {settings.pictures} pictures from {files}; trains {trained}"
