"""A second, slower look at the best candidates with a model from a local folder.

Two kinds, told apart by the folder's `config.json`: a cross-encoder (a sequence classifier that reads question and
passage together), or any other text encoder, whose token vectors are compared by late interaction.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from assistant.errors import RetrievalError

_MOST_TOKENS = 512
# Files of the folder alone, and none that could run code as it is read.
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


class Reranker(Protocol):
    """Whatever scores passages against a question."""

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """Return (N,) float32 in [0, 1], higher is better."""
        ...


def open_reranker(folder: str | Path) -> Reranker:
    """Open a model folder as a reranker.

    Args:
        folder: a Hugging Face folder with `config.json`, tokenizer and safetensors.
    Returns:
        The reranker.
    Raises:
        RetrievalError: it is no such folder, or its model cannot be used.
    """
    path = Path(folder)
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RetrievalError(f"{path} is no model folder: its config.json cannot be read ({error}).") from error
    names = config.get("architectures") or [""]
    classifies = names[0].endswith("ForSequenceClassification")
    try:
        return CrossEncoder(path) if classifies else LateInteraction(path)
    except (OSError, ValueError, KeyError) as error:
        raise RetrievalError(f"{path} cannot be opened as a {names[0] or 'text encoder'} ({error}).") from error


class CrossEncoder:
    """Reads question and passage together and gives one score.

    Source: Nogueira, Cho. Passage re-ranking with BERT. 2019.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **_LOCAL)
        self._model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, **_LOCAL
        ).eval()
        self._length = min(_MOST_TOKENS, int(self._model.config.max_position_embeddings))

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """Return (N,) float32: the probability of the last class, or the sigmoid of a single output."""
        import torch

        batch = self._tokenizer(
            [query] * len(texts), list(texts), truncation="only_second", max_length=self._length, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            logits = self._model(**batch).logits.float()
        found = torch.sigmoid(logits[:, 0]) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)[:, -1]
        return np.asarray(found.numpy(), dtype=np.float32)


class LateInteraction:
    """Compares every word of the question with every word of a passage: the mean of the best matches.

    Source: Khattab, Zaharia. ColBERT: efficient and effective passage search via contextualized late interaction over
        BERT. SIGIR 2020.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **_LOCAL)
        self._model: Any = AutoModel.from_pretrained(folder, use_safetensors=True, **_LOCAL).eval()
        self._length = min(_MOST_TOKENS, int(self._model.config.max_position_embeddings))

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """Return (N,) float32: mean over the question's tokens of the best cosine, from [-1, 1] to [0, 1]."""
        question, real = self._tokens([query])
        question = question[0][real[0]]
        passages, there = self._tokens(list(texts))
        cosines = np.einsum("qd,ntd->nqt", question, passages)
        best = np.where(there[:, None], cosines, -1.0).max(axis=2)
        return np.asarray((best.mean(axis=1) + 1) / 2, dtype=np.float32)

    def _tokens(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return (N, T, D) unit vectors of tokens and (N, T) bool of those that are no padding or mark."""
        import torch

        batch = self._tokenizer(
            texts, truncation=True, max_length=self._length, padding=True, return_special_tokens_mask=True,
            return_tensors="pt",
        )  # fmt: skip
        marks = batch.pop("special_tokens_mask").bool()
        with torch.inference_mode():
            hidden = self._model(**batch).last_hidden_state.float()
        hidden = torch.nn.functional.normalize(hidden, dim=-1)
        return hidden.numpy(), (~marks).numpy()
