"""Conformal abstention: of the answers to choose from, keep a set that holds the truth as often as promised.

Where the set holds one answer it is given; where it holds several, or none, the assistant would abstain. The
threshold is fitted on one half of the patients and the promise is checked on the other, over many such halvings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.evaluation.summary import Rows
from training.metrics import first_option, normalise_answer
from training.uncertainty import Estimate

HALVINGS = 100
LEAST = 40
"""With fewer questions nothing is fitted."""


@dataclass(frozen=True)
class Weighed:
    """One question whose options have shares that sum to 1."""

    group: str
    shares: tuple[float, ...]
    truth: int
    """Which of them is true."""


def weighed(rows: Rows) -> list[Weighed]:
    """Return the questions whose options were weighed and hold the truth, other rows are passed over."""
    found = []
    for row in rows:
        options = [option for option, _ in row.reply.shares]
        if row.item.task == "caption" or row.right is None or len(options) < 2:
            continue
        named = first_option(row.item.truth, options)
        exact = [one for one in options if normalise_answer(one) == normalise_answer(row.item.truth)]
        truth = exact[0] if exact else named
        if truth is not None:
            found.append(Weighed(row.item.group, tuple(share for _, share in row.reply.shares), options.index(truth)))
    return found


def fit_threshold(calibration: Sequence[Weighed], risk: float) -> float:
    """Return how small a share may be for its option to stay in the set.

    Args:
        calibration: questions that are exchangeable with those to come.
        risk: sets may miss the truth of at most this share of questions.

    Returns:
        The share at the place floor(risk (n + 1)) of the true options' shares, ascending; 0 where n is too small to
        promise anything but sets of all options.

    Source: split conformal prediction (Vovk et al., 2005), with the score of Sadinle, Lei and Wasserman, JASA 2019.
    """
    shares = np.sort([one.shares[one.truth] for one in calibration])
    place = int(np.floor(risk * (len(shares) + 1)))
    return float(shares[place - 1]) if place >= 1 else 0.0


def conformal(rows: Rows, risk: float, *, seed: int = 0) -> dict[str, Any]:
    """Fit sets on one half of the patients and check the promise on the other.

    Args:
        rows: predictions; questions with options are taken.
        risk: sets may miss the truth of at most this share.
        seed: of the halvings.

    Returns:
        `promised` coverage; means over `HALVINGS` of the `coverage` on the held-out half, the `answered` share (sets
        of one), `accuracy_when_answered` and `set_size`, with the 2.5th and 97.5th percentile of the halvings; the
        `threshold` fitted on all; and `held`: whether the mean coverage reaches the promise, one standard error of
        the mean allowed. Nothing where there are too few questions.
    """
    questions = weighed(rows)
    names = sorted({one.group for one in questions})
    if len(questions) < LEAST or len(names) < 4:
        return {}
    lot = np.random.default_rng(seed)
    checked = []
    for _ in range(HALVINGS):
        chosen = {names[place] for place in lot.permutation(len(names))[: len(names) // 2]}
        fitted = fit_threshold([one for one in questions if one.group in chosen], risk)
        checked.append(_check([one for one in questions if one.group not in chosen], fitted))
    table = np.array(checked)
    found = {
        name: _over_halvings(table[:, column])
        for column, name in enumerate(("coverage", "answered", "accuracy_when_answered", "set_size"))
    }
    spread = float(table[:, 0].std() / np.sqrt(len(table)))
    return {
        "n": len(questions),
        "risk": risk,
        "promised": 1 - risk,
        **found,
        "threshold": round(fit_threshold(questions, risk), 4),
        "held": bool(table[:, 0].mean() + spread >= 1 - risk),
    }


def _over_halvings(values: np.ndarray) -> dict[str, float]:
    kept = values[~np.isnan(values)]
    if not len(kept):
        return {"value": float("nan"), "low": float("nan"), "high": float("nan")}
    low, high = np.percentile(kept, [2.5, 97.5])
    return Estimate(float(kept.mean()), float(low), float(high)).to_dict()


def _check(held_out: Sequence[Weighed], threshold: float) -> tuple[float, float, float, float]:
    """Return coverage, share of sets of one, share of those that are right (nan for none), mean size."""
    sets = [[place for place, share in enumerate(one.shares) if share >= threshold] for one in held_out]
    covered = np.mean([one.truth in kept for one, kept in zip(held_out, sets, strict=True)])
    single = [(one.truth in kept) for one, kept in zip(held_out, sets, strict=True) if len(kept) == 1]
    right = float(np.mean(single)) if single else float("nan")
    return float(covered), len(single) / len(sets), right, float(np.mean([len(kept) for kept in sets]))
