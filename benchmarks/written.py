"""What a model writes by itself, before any review, and how right it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.config import GenerationConfig
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generator
from assistant.engine.prompt import Prompt
from assistant.imaging.load import load_picture
from assistant.model.load import load_model
from assistant.review import change_sentences
from data_recipes.schema import Example
from training.dataset import Tokens
from training.evaluation.items import true_findings
from training.metrics import FindingCounts, answer_tokens, compare_findings
from training.rewards import answer_match


class Writer:
    """Lets one model answer examples.

    Args:
        model: folder of a model or an adapter.
    """

    def __init__(self, model: str | Path) -> None:
        self.loaded = load_model(model, quantization="none")
        self.tokens = Tokens(self.loaded.tokenizer, self.loaded.contract.image_tokens)
        self.encoder = PictureEncoder(self.loaded)

    def write(
        self, examples: Sequence[Example], root: Path, *, temperature: float = 0.0, seed: int = 0, longest: int = 160
    ) -> list[str]:
        """Answer the last question of each example.

        Args:
            examples: B of them.
            root: folder of their images.
            temperature: 0 takes the likeliest token.
            seed: of the drawing.
            longest: most new tokens.
        Returns:
            B texts, as the model wrote them.
        """
        pictures = [[load_picture(path) for path in one.image_paths(root)] for one in examples]
        prompts = [
            Prompt("", self.tokens.turns(one)[-1].prompt, tuple(self.encoder.encode(group)))
            for one, group in zip(examples, pictures, strict=True)
        ]
        settings = GenerationConfig(temperature=temperature, seed=seed, batch_size=64)
        made = Generator(self.loaded, settings).generate(prompts, max_new_tokens=longest)
        return [one.text for one in made]


@dataclass(frozen=True)
class ReportScore:
    """Reports of one model on one set."""

    f1: float
    """Findings in name, side and zone; micro-average."""
    prior: float
    """Sentences a report that speak of change, where there is no prior."""
    words: float
    """Mean length."""


def score_reports(texts: Sequence[str], examples: Sequence[Example]) -> ReportScore:
    """Score reports on phantoms by their findings, their talk of priors and their length."""
    counts = [
        compare_findings(text, true_findings(one.truth or {}) or ()) for text, one in zip(texts, examples, strict=True)
    ]
    whole = FindingCounts(*(sum(getattr(one, name) for one in counts) for name in ("shared", "extra", "missed")))
    prior = sum(len(change_sentences(text)) for text in texts) / len(texts)
    return ReportScore(whole.f1, prior, sum(len(answer_tokens(text)) for text in texts) / len(texts))


def score_answers(texts: Sequence[str], examples: Sequence[Example]) -> float:
    """Return the share of questions that are answered rightly."""
    return sum(answer_match(text, one) == 1.0 for text, one in zip(texts, examples, strict=True)) / len(texts)
