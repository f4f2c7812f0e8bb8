"""Settings of `python -m training.tower`, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from assistant.errors import ConfigError, DataError
from training.recipe import OptimizerSettings


@dataclass(frozen=True)
class TowerSettings:
    """Settings of `python -m training.tower`."""

    model: str
    """`starter` or a model folder, whose text tower is tuned; the rest of it stays as it is."""
    out: Path
    """Run folder; the model is written to `out/model`, the table of before and after to `out/table.md`."""
    questions: tuple[Path, ...] = ()
    """JSONL with `question`, `text` and mostly `title`: a question and the passage that answers it."""
    pictures: tuple[Path, ...] = ()
    """Corpora of figures or cases, as `retrieval.build` takes them: a picture and its caption or report."""
    held_out: tuple[Path, ...] = ()
    """Questions like those above, never trained on, that are measured before and after."""
    held_out_pictures: tuple[Path, ...] = ()
    """Pictures like those above, never trained on, that are measured before and after."""
    split: str = "train"
    """Of pictures that name a split, the one that is trained on."""
    held_out_split: str = "dev"
    """Of held-out pictures that name a split, the one that is measured."""
    hard_negatives: int = 1
    """For each question, passages that BM25 puts high though they do not answer it; 0 for those of the batch alone."""
    least_gap: float = 0.95
    """A hard negative scores at most this share of what the right passage does: what is nearer may be right too."""
    question_weight: float = 1.0
    """Of the loss of questions."""
    picture_weight: float = 0.5
    """Of the loss of pictures, which keeps texts where pictures can find them."""
    temperature: float = 0.05
    """Of both losses."""
    tokens: int = 128
    """Texts are cut to so many tokens while training."""
    freeze_layers: int = 0
    """First layers of the tower, its word vectors among them, that stay as they are."""
    pool: int = 2000
    """Most passages or pictures among which the right one is sought when measuring."""
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(lr=1e-4, warmup_steps=20))
    """Learning rate and schedule."""
    steps: int = 300
    """Updates."""
    batch_size: int = 48
    """Questions a step, and as many pictures."""
    threads: int = 0
    """CPU threads, 0 for torch's own choice."""
    bf16: bool = True
    """Compute in bfloat16 where the machine is quick at it."""
    report_every: int = 20
    """Steps between two reports and saved states."""
    seed: int = 0
    """Start of every random choice."""

    def __post_init__(self) -> None:
        if not self.questions and not self.pictures:
            raise ConfigError("questions and pictures are empty; name at least one file to learn from.")
        if self.batch_size < 2 or self.steps < 1:
            raise ConfigError(f"steps is {self.steps}, batch_size {self.batch_size}; use at least 1 and 2.")
        if self.hard_negatives < 0 or not 0 < self.least_gap <= 1:
            raise ConfigError(
                f"hard_negatives is {self.hard_negatives}, least_gap {self.least_gap}; use 0 or more, and a share "
                "above 0, at most 1."
            )
        if self.temperature <= 0 or self.tokens < 8 or self.freeze_layers < 0 or self.pool < 2:
            raise ConfigError(
                f"temperature is {self.temperature}, tokens {self.tokens}, freeze_layers {self.freeze_layers}, pool "
                f"{self.pool}; use a temperature above 0, 8 tokens or more, 0 layers or more, a pool of 2 or more."
            )
        shared = (set(self.questions) & set(self.held_out)) - {None}
        if shared:
            raise ConfigError(f"{sorted(map(str, shared))[0]} is both trained on and held out; take it out of one.")


def describe(settings: TowerSettings) -> str:
    """Say what a run would do, after a look at the files.

    Args:
        settings: of the run.
    Returns:
        One line.
    Raises:
        DataError: a file is missing.
    """
    for path in (*settings.questions, *settings.pictures, *settings.held_out, *settings.held_out_pictures):
        if not path.exists():
            raise DataError(f"{path} does not exist; mend the recipe, or build it with python -m data_recipes.build.")
    return (
        f"text tower of {settings.model}: {settings.steps} steps of {settings.batch_size} questions from "
        f"{len(settings.questions)} file(s) with {settings.hard_negatives} hard negative(s) each, and pictures from "
        f"{len(settings.pictures)} corpus(es), to {settings.out / 'model'}"
    )
