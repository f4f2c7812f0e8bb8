"""Is the model as good for one group of patients, or at one site, as for another? Scores by group, and the gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.evaluation.headline import parts, trait_key, traits
from training.evaluation.summary import Prediction, Rows
from training.uncertainty import Estimate, bootstrap_mean, bootstrap_sums

FEWEST = 20
"""A group of fewer judged answers is listed, but its score enters no gap: chance alone would make one."""


def fairness(rows: Rows, wanted: Sequence[str] = ()) -> dict[str, Any]:
    """Compare the share of right answers between groups, trait by trait.

    Args:
        rows: predictions; those judged right or wrong are taken.
        wanted: names of traits; none takes all that the data have.

    Returns:
        For each trait `groups` (accuracy, mean confidence, share withheld, with n each), and `gap`: the best group's
        accuracy less the worst's, with an interval, and which the two are. No gap with fewer than two large groups.
    """
    judged = [row for row in rows if row.right is not None]
    found: dict[str, Any] = {}
    for trait in wanted or traits(rows):
        by_value = parts(judged, trait_key(trait))
        if not by_value:
            continue
        found[trait] = {"groups": {value: _group(part) for value, part in by_value.items()}}
        large = {value: part for value, part in by_value.items() if len(part) >= FEWEST}
        if len(large) >= 2:
            found[trait]["gap"] = _gap(large)
    return found


def _group(rows: Rows) -> dict[str, Any]:
    groups = [row.item.group for row in rows]
    return {
        "n": len(rows),
        "accuracy": bootstrap_mean([float(bool(row.right)) for row in rows], groups).to_dict(),
        "confidence": round(float(np.mean([row.reply.confidence for row in rows])), 4),
        "withheld": round(float(np.mean([row.reply.stop is not None for row in rows])), 4),
    }


def _gap(large: dict[str, list[Prediction]]) -> dict[str, Any]:
    """Return the gap between best and worst, whichever these are in a resample: so its low end lies above 0 by chance.

    To tell a gap from chance, `difference` compares the two groups that are best and worst here, and may cross 0.
    """
    names = list(large)
    rows = [(place, row) for place, name in enumerate(names) for row in large[name]]
    table = np.zeros((len(rows), 2 * len(names)))
    for number, (place, row) in enumerate(rows):
        table[number, 2 * place : 2 * place + 2] = float(bool(row.right)), 1.0
    groups = [row.item.group for _, row in rows]
    with np.errstate(invalid="ignore"):
        scores = table.sum(axis=0).reshape(-1, 2)
        order = np.argsort(scores[:, 0] / scores[:, 1])
    worst, best = int(order[0]), int(order[-1])
    spread = bootstrap_sums(table, lambda sums: _between(sums, None, None), groups)
    difference = bootstrap_sums(table, lambda sums: _between(sums, best, worst), groups)
    return {
        **Estimate(spread.value, spread.low, spread.high).to_dict(),
        "best": names[best],
        "worst": names[worst],
        "difference": Estimate(difference.value, difference.low, difference.high).to_dict(),
    }


def _between(sums: np.ndarray, best: int | None, worst: int | None) -> np.ndarray:
    """Return the gap between two groups' means, or between the largest and the smallest; (R, 2 G) to (R,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums[:, 0::2] / sums[:, 1::2]
    if best is not None and worst is not None:
        return np.asarray(means[:, best] - means[:, worst])
    empty = np.isnan(means).any(axis=1)
    return np.asarray(np.where(empty, np.nan, means.max(axis=1) - means.min(axis=1)))
