"""How right a model is by itself, before any review: in what it writes, and in what it holds likely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from assistant.review import change_sentences
from data_recipes.schema import Example
from training.evaluation.items import true_findings
from training.metrics import FindingCounts, answer_tokens, compare_findings
from training.preference import PreferenceTrainer
from training.preference_settings import DpoSettings
from training.rewards import answer_match
from training.run_folder import RunFolder
from training.settings import DataPart


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


def likelier(model: str, files: Sequence[Path], out: Path) -> float:
    """Return the share of pairs whose better answer a model holds likelier, a token."""
    settings = DpoSettings(model=model, data=tuple(map(DataPart, files)), out=out, per_token=True)
    trainer = PreferenceTrainer(settings, RunFolder(out, settings))
    tokens = torch.tensor([[len(one.first.answer), len(one.second.answer)] for one in trainer.pairs])
    mean = trainer.reference()[:, 2:] / tokens
    return float((mean[:, 0] > mean[:, 1]).float().mean())
