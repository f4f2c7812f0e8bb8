"""Scorers that bring weights of their own: RadGraph, CheXbert, GREEN, RaTEScore. Used where the weights are present.

Nothing is fetched: each takes a local folder, and says clearly what is missing. RadGraph, GREEN and RaTEScore run
through their authors' packages, by the interface those document; CheXbert through `training.evaluation.chexbert`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import ConfigError
from training.evaluation.scorer import Pair, Scorer, is_report

PairScores = Callable[[list[str], list[str]], Sequence[float]]
"""Takes reports and true reports, gives one score a report."""


@dataclass(frozen=True)
class Optional:
    """One scorer with weights."""

    rule: str
    source: str
    package: str | None
    """What to install; None if nothing is needed beyond this project."""
    files: tuple[str, ...]
    """What the folder must hold."""
    open: Callable[[Path], PairScores]


def _radgraph(folder: Path) -> PairScores:
    module: Any = importlib.import_module("radgraph")
    scorer = module.F1RadGraph(
        reward_level="partial", model_type="radgraph-xl", model_cache_dir=str(folder), tokenizer_cache_dir=str(folder)
    )
    return lambda said, true: list(scorer(hyps=said, refs=true)[1])


def _green(folder: Path) -> PairScores:
    module: Any = importlib.import_module("green_score")

    def score(said: list[str], true: list[str]) -> Sequence[float]:
        # It writes a table of reports and verdicts wherever it runs.
        with tempfile.TemporaryDirectory() as scratch:
            return list(module.GREEN(str(folder), output_dir=scratch)(true, said)[2])

    return score


def _ratescore(folder: Path) -> PairScores:
    import torch

    module: Any = importlib.import_module("RaTEScore")
    scorer = module.RaTEScore(
        bert_model=str(folder / "ner"), eval_model=str(folder / "synonyms"), use_gpu=torch.cuda.is_available()
    )
    return lambda said, true: list(scorer.compute_score(said, true))


OPTIONAL: dict[str, Optional] = {
    "radgraph": Optional(
        "Mean RadGraph-XL F1 of entities, and whether they have a relation, reward level partial.",
        "Jain et al., NeurIPS D&B 2021; Delbrouck et al., EMNLP Findings 2022; package radgraph",
        "radgraph",
        ("radgraph-xl.tar.gz",),
        _radgraph,
    ),
    "green": Optional(
        "Mean GREEN: matched findings over these and the clinically significant errors that its model names.",
        "Ostmeier et al., EMNLP Findings 2024; package green_score",
        "green_score",
        ("config.json",),
        _green,
    ),
    "ratescore": Optional(
        "Mean RaTEScore: likeness of the medical entities of both reports.",
        "Zhao et al., EMNLP 2024; package RaTEScore",
        "RaTEScore",
        ("ner/config.json", "synonyms/config.json"),
        _ratescore,
    ),
}


def from_function(name: str, rule: str, source: str, function: PairScores) -> Scorer:
    """Return a scorer of reports made of a function.

    Args:
        name: in `metrics.json`.
        rule: what it counts.
        source: where it is from.
        function: takes reports and true reports, gives one score a report; None or nan leaves a report out.

    Returns:
        The mean, with an interval like every other score.
    """

    def parts(pairs: Sequence[Pair]) -> np.ndarray:
        scores = list(function([pair.prediction for pair in pairs], [pair.truth for pair in pairs]))
        if len(scores) != len(pairs):
            raise ValueError(f"{name} gave {len(scores)} scores for {len(pairs)} reports.")
        values = np.array([np.nan if one is None else float(one) for one in scores])
        return np.stack([values, np.where(np.isnan(values), np.nan, 1.0)], axis=1)

    return Scorer(name, rule, source, is_report, parts)


def open_scorer(name: str, folder: Path) -> Scorer:
    """Return an optional scorer.

    Args:
        name: a key of `OPTIONAL`, or chexbert.
        folder: its weights.

    Returns:
        A scorer of reports.

    Raises:
        ConfigError: the name is unknown, the folder lacks a file, or the package is not installed; says which.
    """
    if name == "chexbert":
        from training.evaluation.chexbert import chexbert_scorer

        return chexbert_scorer(folder)
    if name not in OPTIONAL:
        raise ConfigError(
            f"No scorer with weights is called {name!r}. There are: {', '.join(sorted([*OPTIONAL, 'chexbert']))}."
        )
    one = OPTIONAL[name]
    missing = [file for file in one.files if not (folder / file).exists()]
    if missing:
        raise ConfigError(
            f"{folder} lacks {', '.join(missing)}, which {name} needs. Put its weights there yourself; nothing is "
            "fetched during an evaluation. docs/evaluation.md says where they are published."
        )
    if one.package is not None and importlib.util.find_spec(one.package) is None:
        raise ConfigError(f"{name} needs the package {one.package}, which is not installed: pip install {one.package}")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return from_function(name, one.rule, one.source, one.open(folder))
