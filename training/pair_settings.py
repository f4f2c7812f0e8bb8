"""What the stages that learn from two answers to a question have in common: `dpo`, `kto` and `reward`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from assistant.errors import ConfigError, DataError
from training.adapter import LoraSettings
from training.feature_settings import FeatureCacheSettings
from training.recipe import OptimizerSettings
from training.settings import DataPart
from training.train_parts import check_parts, tell_parts


@dataclass(frozen=True)
class PairSettings:
    """Settings that `dpo`, `kto` and `reward` share."""

    model: str
    """Folder of the model to start from."""
    data: tuple[DataPart, ...]
    """JSONL files, as `python -m data_recipes.build preferences` writes them."""
    out: Path
    """Run folder; the model is written to `out/model`."""
    preset: str | None = None
    """What `model` is made from, such as biomedclip-mistral-7b: a dry run takes its sizes from it while the folder is
    not there. Without, the name of the folder is looked for."""
    held_out: tuple[Path, ...] = ()
    """Example files that are measured on: a patient who also stands in `data` is refused."""
    train: tuple[str, ...] = ("connector", "language_model")
    """Parts that train: connector, language_model, head. With `lora` the language model changes by that only."""
    lora: LoraSettings | None = None
    """Low-rank adapters instead of whole weights; the result is a PEFT folder."""
    last_layers: int | None = None
    """Of the language model, train this many layers next to the output only; None for all. With `lora`, use its own."""
    steps: int = 200
    """Updates."""
    pairs: int = 16
    """Questions a step, each with two answers."""
    accumulate: int = 1
    """Parts that a step's questions are put through the model in, one after the other: less memory, the same step."""
    longest: int = 512
    """Most tokens of a picture, a question and two answers."""
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(lr=1e-4, warmup_steps=20))
    """Learning rate and schedule."""
    average: float = 0.0
    """Decay of averaged weights, 0 for none."""
    feature_cache: FeatureCacheSettings | None = None
    """Keep what the image tower, which never trains, makes of each picture, for all runs that come."""
    bf16: bool = True
    """Compute in bfloat16."""
    checkpoint: bool = False
    """Keep only each layer's input for the backward pass and compute the rest again: far less memory, about a quarter
    slower."""
    compile: bool = False
    """Compile the language model's layers; see `LlavaSettings.compile`."""
    threads: int = 0
    """CPU threads, 0 for torch's own choice."""
    report_every: int = 20
    """Steps between two reports and saved states."""
    seed: int = 0
    """Start of every random choice."""

    def __post_init__(self) -> None:
        self._check_parts()
        if not self.data:
            raise ConfigError("data is empty; name at least one JSONL file of preferences.")
        if not 1 <= self.accumulate <= self.pairs:
            raise ConfigError(f"accumulate is {self.accumulate}; use 1 to {self.pairs}, the pairs of a step.")

    def _check_parts(self) -> None:
        check_parts(self.train, self.lora, self.last_layers)


def describe_run(settings: PairSettings, loss: str) -> str:
    """Say what a run would do, after a look at the data files.

    Args:
        settings: of the run.
        loss: how answers are judged, in words.
    Returns:
        One line.
    Raises:
        DataError: a data file is missing.
    """
    for path in (*(part.path for part in settings.data), *settings.held_out):
        if not path.is_file():
            raise DataError(
                f"{path} does not exist. Build it with python -m data_recipes.build preferences, or mend the recipe."
            )
    files = ", ".join(f"{part.path.name} x{part.weight:g}" for part in settings.data)
    trained = tell_parts(settings.train, settings.lora, settings.last_layers)
    return (
        f"{settings.model}: {settings.steps} steps of {settings.pairs} pairs from {files}; loss {loss}; "
        f"trains {trained}"
    )
