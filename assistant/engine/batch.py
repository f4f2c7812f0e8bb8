"""`Batch`: rows that are written together, as they stand between two steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from assistant.engine.cache import KeyValues


@dataclass
class Batch:
    """Rows between two steps. B rows, V vocabulary."""

    cache: KeyValues
    counts: torch.Tensor
    """(B,) tokens of each row so far."""
    padded: bool
    """Whether some row has columns that are not its own."""
    logits: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    """(B, V) float32, for the next token."""

    def keep(self, places: Sequence[int]) -> list[int]:
        """Let all rows go but these; returns which old row stands in each place, as `KeyValues.keep`."""
        order = self.cache.keep(places)
        chosen = torch.tensor(order, device=self.counts.device)
        self.counts, self.logits = self.counts[chosen], self.logits[chosen]
        return order

    def absorb(self, other: Batch) -> None:
        """Take the rows of another batch after those that are here."""
        self.padded = self.padded or other.padded or self.cache.length != other.cache.length
        self.cache.absorb(other.cache)
        self.counts = torch.cat([self.counts, other.counts])
        self.logits = torch.cat([self.logits, other.logits])
