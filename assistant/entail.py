"""`Entailment`: an optional model that judges whether evidence entails a sentence; any HF folder of that kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.errors import ModelError
from assistant.grounding import Verdict

_BATCH = 16
_LONGEST = 512


class Entailment:
    """A sequence classifier with labels for entailment and contradiction.

    Args:
        model: of `AutoModelForSequenceClassification`.
        tokenizer: of the same folder.
        entailed: place of the label for entailment.
        contradicted: place of the label for contradiction; None for a model of two labels.
    """

    def __init__(self, model: Any, tokenizer: Any, entailed: int, contradicted: int | None) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._entailed, self._contradicted = entailed, contradicted

    @classmethod
    def open(cls, folder: str | Path) -> Entailment:
        """Load a model folder.

        Args:
            folder: weights as safetensors, config.json with `id2label`, tokenizer.
        Returns:
            The judge, on the CPU.
        Raises:
            ModelError: it cannot be loaded, or no label is called entailment.
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        path = Path(folder).expanduser()
        if not (path / "config.json").is_file():
            raise ModelError(f"There is no entailment model in {path}: it has no config.json. Name a model folder.")
        try:
            model = AutoModelForSequenceClassification.from_pretrained(
                path, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
            tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"The entailment model in {path} cannot be loaded ({error}).") from error
        labels = {str(name).lower(): int(place) for place, name in model.config.id2label.items()}
        entailed = next((place for name, place in labels.items() if name.startswith("entail")), None)
        if entailed is None:
            raise ModelError(
                f"The model in {path} has labels {', '.join(sorted(labels))}, none of them entailment. "
                "Name a model that was trained on natural language inference."
            )
        contradicted = next((place for name, place in labels.items() if name.startswith("contradict")), None)
        return cls(model.eval(), tokenizer, entailed, contradicted)

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        """Judge (evidence, sentence) pairs."""
        import torch

        verdicts: list[Verdict] = []
        for start in range(0, len(pairs), _BATCH):
            part = pairs[start : start + _BATCH]
            inputs = self._tokenizer(
                [premise for premise, _ in part],
                [sentence for _, sentence in part],
                truncation="only_first",
                max_length=min(_LONGEST, self._model.config.max_position_embeddings),
                padding=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                shares = self._model(**inputs).logits.softmax(dim=-1)
            for row in shares.tolist():
                against = row[self._contradicted] if self._contradicted is not None else 0.0
                verdicts.append(Verdict(row[self._entailed], against))
        return verdicts
