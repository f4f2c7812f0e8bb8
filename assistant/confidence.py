"""How sure an answer is: token probabilities in, a calibrated probability and a threshold out. Pure functions.

Calibration is Platt scaling on the logit of the raw value (Platt, 1999; a slope alone is the temperature scaling of
Guo et al., ICML 2017). Its numbers are fitted on held-out questions and kept in the model's contract, for each kind
of answer: `closed_a`, `closed_b`, `abstain_below_closed`, and likewise for `open`, `report` and `quote`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

Kind = Literal["closed", "open", "report", "quote"]

_EDGE = 1e-6


def sigmoid(value: float) -> float:
    """Return 1 / (1 + exp(-value)) without overflow."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1.0 + grown)


def logit(probability: float) -> float:
    """Return log(p / (1 - p)), with p kept a millionth away from 0 and 1."""
    clipped = min(max(probability, _EDGE), 1.0 - _EDGE)
    return math.log(clipped / (1.0 - clipped))


def shares(log_probs: Sequence[float]) -> list[float]:
    """Return how the probability divides among the given options alone; the shares sum to 1."""
    if not log_probs:
        return []
    top = max(log_probs)
    if math.isinf(top):
        return [1.0 / len(log_probs)] * len(log_probs)
    weights = [math.exp(value - top) for value in log_probs]
    total = sum(weights)
    return [weight / total for weight in weights]


def raw_confidence(log_probs: Sequence[float]) -> float:
    """Tell how sure a model was of a text that it wrote.

    Args:
        log_probs: natural logarithm of each token's probability, the end token included.

    Returns:
        The geometric mean of the tokens' probabilities; 0 for no text.
    """
    if not log_probs:
        return 0.0
    return math.exp(sum(log_probs) / len(log_probs))


def calibrate(raw: float, kind: Kind, calibration: Mapping[str, float]) -> float:
    """Turn a raw confidence into a probability of being right.

    Args:
        raw: in [0, 1].
        kind: which numbers to take.
        calibration: a contract's `calibration`.

    Returns:
        sigmoid(a * logit(raw) + b) with the numbers of `kind`; `raw` itself where the model has none.
    """
    slope, offset = calibration.get(f"{kind}_a"), calibration.get(f"{kind}_b")
    if slope is None and offset is None:
        return min(max(raw, 0.0), 1.0)
    return sigmoid((1.0 if slope is None else slope) * logit(raw) + (offset or 0.0))


def threshold(kind: Kind, calibration: Mapping[str, float], override: float | None = None) -> float:
    """Return the confidence under which to abstain: `override`, else the model's own, else 0 (never)."""
    if override is not None:
        return override
    return float(calibration.get(f"abstain_below_{kind}", 0.0))
