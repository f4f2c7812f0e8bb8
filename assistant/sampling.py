"""`Sampling`: how one answer is written, where it differs from the settings; each row of a batch may have its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """One request's own wishes; None takes the settings' value."""

    temperature: float | None = None
    """0 takes the likeliest token each time."""
    top_p: float | None = None
    """Share of probability that is drawn from, above 0 and up to 1."""
    seed: int | None = None
    """Of the draws."""
    max_new_tokens: int | None = None
    """The most tokens of the answer."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""
    on_text: Callable[[str], None] | None = None
    """Called with each piece of the answer while the batch is written; pieces end between words."""
    cancelled: Callable[[], bool] | None = None
    """Asked at each step; once it says yes, the row leaves its batch."""
    name: str | None = None
    """The request's id in the audit log; another server that writes the text is told it."""


USUAL = Sampling()
"""Everything as the settings say."""
