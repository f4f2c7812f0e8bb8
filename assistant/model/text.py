"""`TextTower`: sentences to vectors in the encoder's joint space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.model.folder import quiet

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BertModel, PreTrainedTokenizerBase

    from assistant.model.fast_linear import FastEncoding
    from assistant.model.tower import FastTextTower


class TextTower:
    """The encoder's text half. Computes in float32, whatever the language model uses: an index holds its vectors.

    `in_format` gives one that computes in another format; `assistant.model.encoding` decides whether it may be used.
    """

    def __init__(
        self, bert: BertModel, tokenizer: PreTrainedTokenizerBase, head: list[Tensor], context_length: int
    ) -> None:
        """Join the parts.

        Args:
            bert: last hidden state of the first token is read.
            tokenizer: the encoder's own, not the language model's.
            head: one matrix (E, H), or two with a GELU between, from H to E.
            context_length: longer texts are cut to this many tokens.
        """
        self.bert = bert.eval()
        self.tokenizer = tokenizer
        self.head = head
        self.context_length = context_length
        self.encoding = "exact"
        """Number format that texts are encoded in."""
        self._fast: FastTextTower | None = None

    def in_format(self, encoding: FastEncoding) -> TextTower:
        """Return a tower of the same weights and tokenizer that computes in another format, on the CPU."""
        from assistant.model.tower import FastTextTower

        made = TextTower(self.bert, self.tokenizer, self.head, self.context_length)
        made._fast, made.encoding = FastTextTower(self.bert, encoding), encoding
        return made

    @classmethod
    def open(cls, folder: Path, projection: dict[str, Tensor], device: str) -> TextTower:
        """Open `text_tower/` of a model folder with the text half of its projection."""
        import torch
        from transformers import AutoTokenizer, BertModel

        with quiet(folder):
            bert: Any = BertModel.from_pretrained(
                folder, add_pooling_layer=False, dtype=torch.float32, use_safetensors=True
            )
        bert.to(device)
        head = [
            projection[name].to(device, torch.float32)
            for name in ("text.0.weight", "text.1.weight")
            if name in projection
        ]
        tokenizer = AutoTokenizer.from_pretrained(folder)
        length = min(int(tokenizer.model_max_length), int(bert.config.max_position_embeddings))
        return cls(bert, tokenizer, head, length)

    @property
    def dimension(self) -> int:
        """Width E of the vectors."""
        return int(self.head[-1].shape[0])

    def embed(self, texts: list[str], batch_size: int = 64) -> np.ndarray:
        """Turn each text into one vector of length 1.

        Texts are sorted by length and each batch is padded to its own longest, which changes nothing but the time.

        Args:
            texts: any strings; none gives (0, E).
            batch_size: how many go through the tower at once.
        Returns:
            float32, (N, E), in the order given.
        """
        import torch

        result = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return result
        device = self.head[0].device
        tokens = self.tokenizer(list(texts), truncation=True, max_length=self.context_length)["input_ids"]
        order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                batch = self.tokenizer.pad({"input_ids": [tokens[row] for row in rows]}, return_tensors="pt").to(device)
                first = self._first(batch["input_ids"], batch["attention_mask"])
                result[rows] = self._project(first).cpu().numpy()
        return result

    def _first(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """(B, T) ids and what of them is no padding, to the first token's last state (B, H)."""
        if self._fast is not None:
            return self._fast(tokens, attended)
        states: Tensor = self.bert(input_ids=tokens, attention_mask=attended).last_hidden_state
        return states[:, 0]

    def _project(self, hidden: Tensor) -> Tensor:
        """(B, H) to (B, E), unit length."""
        from torch.nn import functional

        for number, weight in enumerate(self.head):
            hidden = functional.linear(functional.gelu(hidden) if number else hidden, weight)
        return functional.normalize(hidden, dim=-1)
