"""Settings of `python -m training.joint`, apart from the code that needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from assistant.errors import ConfigError, DataError
from training.adapter import LoraSettings
from training.recipe import OptimizerSettings
from training.train_parts import check_parts, tell_parts


@dataclass(frozen=True)
class JointSettings:
    """Settings of `python -m training.joint`."""

    model: str
    """`starter` or a model folder: its language model and its text tower train together."""
    data: tuple[Path, ...]
    """Example files (JSONL); of each example the last question."""
    passages: tuple[str, ...]
    """Corpora to search, as `retrieval.build` takes them, such as knowledge."""
    out: Path
    """Run folder; the model is written to `out/model`, the table of before and after to `out/table.md`."""
    held_out: tuple[Path, ...] = ()
    """Example files, never trained on, that are measured before and after."""
    loss: Literal["marginal", "distill"] = "marginal"
    """marginal: the answer's likelihood over the passages found, each as likely as the search holds it (RAG).
    distill: the search learns to hold a passage as likely as the answer is with it (REPLUG)."""
    shown: int = 4
    """Passages for each question; the model reads each by itself."""
    explored: int = 1
    """How many of these are drawn from those ranked next, so that the search can learn what it does not yet find."""
    temperature: float = 0.1
    """Of the search: probabilities are the softmax of cosine / temperature."""
    beta: float = 1.0
    """Of distill: how sharply the answer's likelihood, in nats, tells passages apart; smaller is sharper."""
    image_weight: float = 1.0
    """Of the picture's vector in the query, beside the question's."""
    evidence_words: int = 50
    """Most words of a passage in the prompt."""
    longest_answer: int = 40
    """Examples whose answer takes more tokens are left out."""
    longest: int = 640
    """Most tokens of a picture and all passages, questions and answers of one example."""
    train: tuple[str, ...] = ("language_model",)
    """Parts of the model that train beside the text tower: connector, language_model, head."""
    lora: LoraSettings | None = None
    """The language model changes by an adapter, which is merged at the end."""
    last_layers: int | None = None
    """Of the language model, train this many layers next to the output only; None for all."""
    tower_lr: float = 1.0
    """Learning rate of the text tower as a share of the model's; 0 leaves the search as it is."""
    refresh_every: int = 20
    """Steps after which passages are embedded anew with the tower as it is then."""
    questions: int = 4
    """Examples a step."""
    measured: int = 100
    """Most held-out examples that are measured."""
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(lr=1e-4, warmup_steps=10))
    """Learning rate and schedule."""
    steps: int = 200
    """Updates."""
    threads: int = 0
    """CPU threads, 0 for torch's own choice."""
    bf16: bool = True
    """Compute the language model in bfloat16."""
    report_every: int = 10
    """Steps between two reports and saved states."""
    seed: int = 0
    """Start of every random choice."""

    def __post_init__(self) -> None:
        check_parts(self.train, self.lora, self.last_layers)
        if not self.data or not self.passages:
            raise ConfigError("data or passages is empty; name at least one example file and one corpus.")
        if self.loss not in ("marginal", "distill"):
            raise ConfigError(f"loss is {self.loss!r}; use marginal or distill.")
        if self.shown < 2 or not 0 <= self.explored < self.shown:
            raise ConfigError(
                f"shown is {self.shown}, explored {self.explored}; show 2 or more, and explore fewer than are shown."
            )
        if self.temperature <= 0 or self.beta <= 0 or self.tower_lr < 0:
            raise ConfigError(
                f"temperature is {self.temperature}, beta {self.beta}, tower_lr {self.tower_lr}; use numbers above 0."
            )
        if min(self.steps, self.questions, self.refresh_every, self.report_every) < 1:
            raise ConfigError("steps, questions, refresh_every and report_every are 1 or more each.")
        if shared := set(self.data) & set(self.held_out):
            raise ConfigError(f"{sorted(map(str, shared))[0]} is both trained on and held out; take it out of one.")


def describe(settings: JointSettings) -> str:
    """Say what a run would do, after a look at the files.

    Args:
        settings: of the run.
    Returns:
        One line.
    Raises:
        DataError: a file is missing.
    """
    for path in (*settings.data, *settings.held_out):
        if not path.is_file():
            raise DataError(f"{path} does not exist; build it with python -m data_recipes.build, or mend the recipe.")
    trained = tell_parts(settings.train, settings.lora, settings.last_layers)
    return (
        f"{settings.model}: {settings.steps} steps of {settings.questions} examples, each with {settings.shown} "
        f"passages of {', '.join(settings.passages)}; loss {settings.loss}; trains {trained} and the text tower"
    )
