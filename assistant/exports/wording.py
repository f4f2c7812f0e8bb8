"""Confidence in words: the one scale that the command line, the page and the exports share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_STEPS: tuple[tuple[float, str], ...] = ((0.9, "high"), (0.7, "fairly high"), (0.5, "moderate"), (0.3, "low"))


def confidence_words(confidence: float) -> str:
    """Return how sure the assistant is, in words.

    Args:
        confidence: calibrated probability in [0, 1].
    Returns:
        One of "high", "fairly high", "moderate", "low", "very low".
    """
    return next((words for least, words in _STEPS if confidence >= least), "very low")


def confidence_phrase(confidence: float, abstained: bool) -> str:
    """Return words and percentage, such as "high (93 %)", and say so when the assistant abstained."""
    phrase = f"{confidence_words(confidence)} ({round(100 * confidence)} %)"
    return f"{phrase}, so it gives no answer of its own" if abstained else phrase


def support_words(ground: Mapping[str, Any]) -> str:
    """Return what a sentence stands on, such as "supported by [1] (0.82)".

    Args:
        ground: the JSON form of a `Ground`.
    Returns:
        A short phrase.
    """
    if not ground["supported"]:
        return "not supported by the evidence"
    numbers = ", ".join(map(str, ground["evidence"]))
    return f"supported by [{numbers}] ({ground['score']:.2f})"
