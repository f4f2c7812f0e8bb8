"""`EvaluationSettings`: what one evaluation asks, how, and what else it measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import ConfigError

BATCH_SIZE = 32
STRATEGIES: dict[str, str] = {
    "zero-shot": "the question as it is",
    "few-shot-random": "examples drawn by chance stand before the question",
    "few-shot-knn": "the examples whose pictures and questions are most like it stand before the question",
    "chain-of-thought": "the model thinks step by step, then answers, in one text",
    "self-consistency": "several sampled chains of thought vote",
    "choice-shuffle": "the choices are shown in several orders, and their shares averaged",
    "rationale": "the model first describes what bears on the question, then answers with that in the prompt",
    "modular": "modality, region and abnormality are asked first, then the question with these answers",
}
"""Name of each way to ask, with what it does."""
SHOT_STRATEGIES = ("few-shot-random", "few-shot-knn")


@dataclass(frozen=True)
class EvaluationSettings:
    """How to ask and what to measure beside the scores."""

    limit: int | None = None
    """At most so many examples of each file, drawn by chance but always the same ones; None asks all."""
    batch_size: int = BATCH_SIZE
    """Questions that go through the model together."""
    controls: bool = False
    """Ask again with blank, noise, swapped and no pictures."""
    robustness: bool = False
    """Ask again with corrupted pictures."""
    strategy: str = "zero-shot"
    """One of `STRATEGIES`."""
    shots: int = 3
    """Examples before a question, for few-shot strategies."""
    examples: Path | None = None
    """Data file that the examples come from; its patients must not be those that are asked about."""
    samples: int = 5
    """Texts that vote in self-consistency, orders in choice-shuffle."""
    temperature: float = 0.7
    """Of those texts."""
    one_view: bool = False
    """Look at the picture as it is alone, although the model's contract asks for altered ones too."""
    max_new_tokens: int | None = None
    """The most tokens of one answer; None takes the usual."""
    scorers: tuple[str, ...] = ("llava_med", "medevalkit")
    """Scorers beside the usual ones: names, or the part before the dot."""
    weights: tuple[tuple[str, Path], ...] = ()
    """Optional scorers that bring weights of their own: name and folder each."""
    group_by: tuple[str, ...] = ()
    """Traits to compare groups by; none takes all that the data have."""
    risk: float = 0.1
    """Conformal sets may miss the truth of at most this share of questions."""
    pictures: bool = False
    """Put small copies of pictures into the page."""

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value}; use {least} or more."
            for name, value, least in (
                ("limit", self.limit, 1),
                ("batch_size", self.batch_size, 1),
                ("shots", self.shots, 1),
                ("samples", self.samples, 1),
                ("max_new_tokens", self.max_new_tokens, 1),
            )
            if value is not None and value < least
        ]
        if self.strategy not in STRATEGIES:
            faults.append(f"strategy is {self.strategy!r}; use one of {', '.join(STRATEGIES)}.")
        elif self.strategy in SHOT_STRATEGIES and self.examples is None:
            faults.append(f"{self.strategy} needs a data file of examples: --examples TRAIN.jsonl.")
        if not 0 < self.risk < 1:
            faults.append(f"risk is {self.risk}; use a share above 0 and below 1.")
        if self.strategy == "self-consistency" and self.temperature <= 0:
            faults.append(f"temperature is {self.temperature}; texts that vote are sampled: use a value above 0.")
        if faults:
            raise ConfigError(" ".join(faults))

    def protocol(self) -> dict[str, Any]:
        """Return what of these changes the answers, for `metrics.json` and the leaderboard."""
        asked: dict[str, Any] = {"strategy": self.strategy}
        if self.strategy in SHOT_STRATEGIES:
            asked |= {"shots": self.shots, "examples": self.examples.name if self.examples else None}
        if self.strategy in ("self-consistency", "choice-shuffle"):
            asked["samples"] = self.samples
        asked["temperature"] = self.temperature if self.strategy == "self-consistency" else 0
        if self.max_new_tokens is not None:
            asked["max_new_tokens"] = self.max_new_tokens
        if self.one_view:
            asked["one_view"] = True
        return asked
