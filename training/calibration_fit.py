"""Platt scaling with priors, its cross-fitted numbers, and the thresholds of abstention. Pure functions.

N answers: `raw` (N,) confidences in [0, 1] as the engine gives them, `right` (N,) 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.evaluation.summary import calibration_numbers

SLOPE_SPREAD = 1.0
"""Standard deviation of the normal prior of the slope around 1."""
OFFSET_SPREAD = 2.0
"""Standard deviation of the normal prior of the offset around 0."""
LEAST_SLOPE = 0.05
"""A surer answer never becomes a less sure one."""
LEAST_ANSWERS = 20
"""With fewer answers of a kind nothing is fitted for it."""
FOLDS = 5
_EDGE = 1e-6


@dataclass(frozen=True)
class Platt:
    """sigmoid(slope * logit(raw) + offset)."""

    slope: float
    offset: float

    def __call__(self, raw: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return calibrated confidences, (N,)."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * _logit(raw) + self.offset))))


def _logit(raw: Sequence[float] | np.ndarray) -> np.ndarray:
    clipped = np.clip(np.asarray(raw, dtype=float), _EDGE, 1 - _EDGE)
    return np.asarray(np.log(clipped / (1 - clipped)))


def fit_platt(raw: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray) -> Platt:
    """Find the likeliest slope and offset under the priors; with no answers slope 1 and offset 0.

    The priors keep the fit finite where all answers are right, or few are known.

    Args:
        raw: (N,).
        right: (N,).

    Returns:
        The scaling; its slope is at least `LEAST_SLOPE`.

    Source: Platt, 1999; priors instead of his smoothed targets.
    """
    x, y = _logit(raw), np.asarray(right, dtype=float)
    both = _newton(x, y, np.array([1.0, 0.0]), free=np.array([True, True]))
    if both[0] < LEAST_SLOPE:
        both = _newton(x, y, np.array([LEAST_SLOPE, both[1]]), free=np.array([False, True]))
    return Platt(float(both[0]), float(both[1]))


def fit_temperature(raw: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray) -> Platt:
    """Find the likeliest slope alone, under its prior; its inverse is the temperature.

    Args:
        raw: (N,).
        right: (N,).

    Returns:
        A scaling without offset; its slope is at least `LEAST_SLOPE`.

    Source: Guo et al., ICML 2017.
    """
    found = _newton(_logit(raw), np.asarray(right, dtype=float), np.array([1.0, 0.0]), free=np.array([True, False]))
    return Platt(max(float(found[0]), LEAST_SLOPE), 0.0)


def _newton(x: np.ndarray, y: np.ndarray, start: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Minimise the penalised log loss over the free parameters by damped Newton steps; it is convex."""
    design = np.stack([x, np.ones_like(x)], axis=1)
    centre, weight = np.array([1.0, 0.0]), np.array([SLOPE_SPREAD, OFFSET_SPREAD]) ** -2.0

    def loss(at: np.ndarray) -> float:
        z = design @ at
        return float(np.sum(np.logaddexp(0, z) - y * z) + 0.5 * np.sum(weight * (at - centre) ** 2))

    now = start
    for _ in range(100):
        p = 1 / (1 + np.exp(-(design @ now)))
        slope = design.T @ (p - y) + weight * (now - centre)
        bend = (design * (p * (1 - p))[:, None]).T @ design + np.diag(weight)
        step = np.zeros(2)
        step[free] = np.linalg.solve(bend[np.ix_(free, free)], slope[free])
        size = 1.0
        while loss(now - size * step) > loss(now) and size > 1e-6:
            size /= 2
        now = now - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return now


def cross_fitted(
    raw: Sequence[float] | np.ndarray,
    right: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable],
    *,
    folds: int = FOLDS,
    seed: int = 0,
    fit: Callable[[np.ndarray, np.ndarray], Platt] = fit_platt,
) -> np.ndarray:
    """Calibrate each answer with a scaling fitted on the other patients' answers only.

    Args:
        raw: (N,).
        right: (N,).
        groups: (N,) patients or pictures.
        folds: in how many parts the groups fall.
        seed: of the parting.
        fit: finds a scaling; slope and offset unless told otherwise.

    Returns:
        (N,) confidences, whose ECE and Brier score are not flattered by the fit.
    """
    sure, hit = np.asarray(raw, dtype=float), np.asarray(right, dtype=float)
    names = list(dict.fromkeys(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[place]: position % folds for position, place in enumerate(order)}
    fold = np.array([fold_of[group] for group in groups])
    found = np.empty(len(sure))
    for number in range(folds):
        held = fold == number
        found[held] = fit(sure[~held], hit[~held])(sure[held])
    return found


def abstention_threshold(
    confidence: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray, *, wanted: float, most: float
) -> float:
    """Return the confidence under which to abstain.

    It is the probability under which an answer is not worth giving, lowered where that would silence too many of the
    right answers: a model that is unsure, and right all the same, still gives them with their confidence beside them.

    Args:
        confidence: (N,) calibrated.
        right: (N,) how right each answer is, 0 to 1.
        wanted: the least probability of being right that is worth an answer.
        most: the largest share of the right answers that may be withheld.

    Returns:
        At most `wanted`, rounded down to 4 decimals.
    """
    sure, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    order = np.argsort(sure, kind="stable")
    lost = np.cumsum(hit[order])
    place = int(np.searchsorted(lost, most * lost[-1], side="right"))
    least = min(wanted, float(sure[order][place])) if place < len(order) else wanted
    return float(np.floor(least * 1e4) / 1e4)


def fit_kind(
    raw: Sequence[float] | np.ndarray,
    right: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable],
    *,
    wanted: float,
    most: float,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Fit one kind of answer.

    Args:
        raw: (N,).
        right: (N,).
        groups: (N,) patients or pictures.
        wanted: see `abstention_threshold`.
        most: likewise.

    Returns:
        {"a", "b", "abstain_below"} for the contract, and a report: before, cross-fitted, and what abstaining does.
    """
    fitted = fit_platt(raw, right)
    numbers = {"a": round(fitted.slope, 6), "b": round(fitted.offset, 6)}
    held_out = cross_fitted(raw, right, groups)
    numbers["abstain_below"] = least = abstention_threshold(fitted(raw), right, wanted=wanted, most=most)
    hit, kept = np.asarray(right, dtype=float), held_out >= least
    report = {
        "answers": len(hit),
        "accuracy": round(float(hit.mean()), 4),
        "before": calibration_numbers(raw, right),
        "cross_fitted": calibration_numbers(held_out, right),
        "withheld": round(float(1 - kept.mean()), 4),
        "right_withheld": round(float(hit[~kept].sum() / hit.sum()), 4) if hit.any() else None,
        "accuracy_of_given": round(float(hit[kept].mean()), 4) if kept.any() else None,
        "accuracy_of_withheld": round(float(hit[~kept].mean()), 4) if not kept.all() else None,
    }
    return numbers, report
