"""How far a number can be trusted: bootstrap intervals; and how far a confidence can: ECE, Brier, risk-coverage.

N answers, G groups, R resamples. `confidence` is (N,) in [0, 1], `right` (N,) 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

COVERAGES = (1.0, 0.9, 0.8, 0.5)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int | None = None
    """How many answers it is of, where that is told with it."""

    def to_dict(self) -> dict[str, float]:
        """Return the numbers, rounded for a file."""
        numbers = {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}
        return numbers if self.n is None else {**numbers, "n": self.n}


def bootstrap_ratio(
    numerators: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Return a ratio of two sums with its interval; patients or pictures are drawn, not single answers.

    Args:
        numerators: (N,).
        denominators: (N,), not negative; ones make the ratio a mean.
        groups: (N,) whose answers stand or fall together.
        resamples: R; the interval is between the 2.5th and the 97.5th percentile of them.
        seed: equal seeds give equal intervals.

    Returns:
        The estimate; nan where the denominators sum to 0.

    Source: Efron, 1979, by clusters (Field and Welsh, 2007).
    """
    parts = np.stack([np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)], axis=1)
    if not parts[:, 1].sum():
        return Estimate(float("nan"), float("nan"), float("nan"))
    return replace(bootstrap_sums(parts, _ratio, groups, resamples=resamples, seed=seed), n=None)


def _ratio(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan))


def bootstrap_sums(
    parts: np.ndarray,
    value: Callable[[np.ndarray], np.ndarray],
    groups: Sequence[Hashable],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Return any score that is a function of sums with its interval; patients or pictures are drawn.

    Args:
        parts: (N, K) numbers of each answer.
        value: (R, K) sums to (R,) scores; nan where a score is not defined.
        groups: (N,) whose answers stand or fall together.
        resamples: R; the interval is between the 2.5th and the 97.5th percentile of them.
        seed: equal seeds give equal intervals.

    Returns:
        The estimate with `n`, the number of answers; all nan where the value is.

    Source: Efron, 1979, by clusters (Field and Welsh, 2007).
    """
    found = float(value(parts.sum(axis=0, keepdims=True))[0])
    if np.isnan(found):
        return Estimate(found, found, found, len(parts))
    places: dict[Hashable, int] = {}
    index = np.array([places.setdefault(group, len(places)) for group in groups])
    count = len(places)
    sums = np.stack([np.bincount(index, weights=part, minlength=count) for part in parts.T], axis=1)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    drawn = value(draws @ sums)
    low, high = np.percentile(drawn[~np.isnan(drawn)], [2.5, 97.5])
    return Estimate(found, float(low), float(high), len(parts))


def bootstrap_of(
    value: Callable[[np.ndarray], float], groups: Sequence[Hashable], *, resamples: int = 300, seed: int = 0
) -> Estimate:
    """Return any number of answers with its interval; patients or pictures are drawn. For what is no function of sums.

    Args:
        value: takes places of answers, (M,) int, which may come more than once.
        groups: (N,) whose answers stand or fall together.
        resamples: how many; fewer than elsewhere, for each computes the number anew.
        seed: equal seeds give equal intervals.

    Returns:
        The estimate with `n`.
    """
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    lists = [np.array(places) for places in members.values()]
    lot = np.random.default_rng(seed)
    drawn = [
        value(np.concatenate([lists[one] for one in lot.integers(len(lists), size=len(lists))]))
        for _ in range(resamples)
    ]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Estimate(float(value(np.arange(len(groups)))), float(low), float(high), len(groups))


def bootstrap_mean(values: Sequence[float] | np.ndarray, groups: Sequence[Hashable], *, seed: int = 0) -> Estimate:
    """Return the mean of (N,) values with its interval; see `bootstrap_ratio`."""
    return bootstrap_ratio(values, np.ones(len(values)), groups, seed=seed)


def expected_calibration_error(
    confidence: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray, *, bins: int = 10
) -> float:
    """Return the mean gap between confidence and accuracy over bins of equal width, weighted by their size.

    Args:
        confidence: (N,).
        right: (N,).
        bins: how many; a confidence on an edge falls into the lower bin, 0 into the first.

    Returns:
        0 to 1; nan for no answers.

    Source: Naeini et al., AAAI 2015; Guo et al., ICML 2017.
    """
    sure, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    if not len(sure):
        return float("nan")
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.abs(np.bincount(place, weights=hit - sure, minlength=bins))
    return float(gaps.sum() / len(sure))


def brier(confidence: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray) -> float:
    """Return the mean squared difference between confidence and outcome; nan for no answers."""
    sure, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    return float(np.mean((sure - hit) ** 2)) if len(sure) else float("nan")


def risks(confidence: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the share of wrong answers among the k surest, for each k from 1 to N.

    Answers of equal confidence stand in no order: each counts as their mean.

    Args:
        confidence: (N,).
        right: (N,).

    Returns:
        (N,) float.
    """
    sure, wrong = np.asarray(confidence, dtype=float), 1 - np.asarray(right, dtype=float)
    levels, level = np.unique(-sure, return_inverse=True)
    size = np.bincount(level, minlength=len(levels))
    mean = np.bincount(level, weights=wrong, minlength=len(levels)) / np.maximum(size, 1)
    return np.asarray(np.cumsum(np.repeat(mean, size)) / np.arange(1, len(sure) + 1))


def aurc(confidence: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray) -> float:
    """Return the area under the risk-coverage curve: the mean of `risks`; lower is better, nan for no answers.

    Source: Geifman et al., ICLR 2019.
    """
    return float(risks(confidence, right).mean()) if len(confidence) else float("nan")


def accuracy_at(
    confidence: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray, coverage: float
) -> float:
    """Return the accuracy over the surest share of the answers.

    Args:
        confidence: (N,).
        right: (N,).
        coverage: the share to keep, above 0; at least one answer is kept.

    Returns:
        0 to 1; nan for no answers.
    """
    if not len(confidence):
        return float("nan")
    kept = max(1, round(coverage * len(confidence)))
    return float(1 - risks(confidence, right)[kept - 1])
