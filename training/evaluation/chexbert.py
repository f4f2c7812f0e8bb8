"""CheXbert: a BERT with fourteen heads that labels chest reports; the F1 of its labels as a score.

The network of Smit et al. (EMNLP 2020), run from a folder in safetensors: `config.json` and the vocabulary of a BERT,
and `model.safetensors` with the weights under `bert.` and `linear_heads.N.`. The published checkpoint is a pickled
file, which nothing in this project opens; docs/evaluation.md tells how to turn it into such a folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import ConfigError
from training.evaluation.scorer import Pair, Scorer, is_report

CONDITIONS: tuple[str, ...] = (
    "enlarged cardiomediastinum",
    "cardiomegaly",
    "lung opacity",
    "lung lesion",
    "edema",
    "consolidation",
    "pneumonia",
    "atelectasis",
    "pneumothorax",
    "pleural effusion",
    "pleural other",
    "fracture",
    "support devices",
    "no finding",
)
"""In the order of the heads; each has four classes (blank, positive, negative, uncertain), "no finding" two."""
POSITIVE = (1, 3)
"""Classes that count as named: positive and uncertain, as the published scores have it."""
_FILES = ("config.json", "vocab.txt", "model.safetensors")
_LONGEST = 512


class CheXbert:
    """Labels reports.

    Args:
        folder: see the module.
    """

    def __init__(self, folder: Path) -> None:
        import torch
        from safetensors.torch import load_file
        from transformers import BertConfig, BertModel, BertTokenizer

        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            raise ConfigError(
                f"{folder} lacks {', '.join(missing)}, which chexbert needs. docs/evaluation.md tells how to make them."
            )
        self._tokenizer = BertTokenizer.from_pretrained(folder, local_files_only=True)
        config = BertConfig.from_pretrained(folder, local_files_only=True)
        self._bert: Any = BertModel(config, add_pooling_layer=False)
        heads = [torch.nn.Linear(config.hidden_size, 2 if name == "no finding" else 4) for name in CONDITIONS]
        self._heads = torch.nn.ModuleList(heads)
        weights = load_file(folder / "model.safetensors")
        for module, prefix in ((self._bert, "bert."), (self._heads, "linear_heads.")):
            part = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
            part = {name: value for name, value in part.items() if not name.startswith("pooler.")}
            part.pop("embeddings.position_ids", None)
            try:
                module.load_state_dict(part)
            except RuntimeError as error:
                raise ConfigError(f"{folder / 'model.safetensors'} is no CheXbert: {error}") from error
        self._bert.eval()

    def label(self, reports: Sequence[str], batch_size: int = 16) -> np.ndarray:
        """Label reports.

        Args:
            reports: N texts; what is longer than 512 tokens is cut.
            batch_size: how many go through together.

        Returns:
            (N, 14) bool: which of `CONDITIONS` each names as there, or possibly there.
        """
        import torch

        rows = []
        for start in range(0, len(reports), batch_size):
            part = [" ".join(text.split()) for text in reports[start : start + batch_size]]
            tokens = self._tokenizer(part, padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt")
            with torch.inference_mode():
                first = self._bert(**tokens).last_hidden_state[:, 0]
                rows.append(torch.stack([head(first).argmax(dim=1) for head in self._heads], dim=1).numpy())
        classes = np.concatenate(rows) if rows else np.zeros((0, len(CONDITIONS)), dtype=int)
        return np.isin(classes, POSITIVE)


def chexbert_scorer(folder: Path) -> Scorer:
    """Return the micro F1 over the fourteen conditions as a scorer of reports.

    Args:
        folder: with CheXbert's weights.

    Returns:
        The scorer.

    Raises:
        ConfigError: the folder lacks a file, or holds other weights.
    """
    model = CheXbert(folder)

    def parts(pairs: Sequence[Pair]) -> np.ndarray:
        said, true = model.label([one.prediction for one in pairs]), model.label([one.truth for one in pairs])
        return np.stack([2 * (said & true).sum(axis=1), said.sum(axis=1) + true.sum(axis=1)], axis=1).astype(float)

    return Scorer(
        "chexbert",
        "Micro F1 of 14 conditions that CheXbert labels as there or possibly there in both reports.",
        "Smit et al., EMNLP 2020; run from safetensors by this project",
        is_report,
        parts,
    )
