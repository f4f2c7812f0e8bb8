"""How often a reward model orders two answers rightly, in all and by what is wrong with the worse one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from training.evaluation.table import markdown_table
from training.uncertainty import bootstrap_mean

if TYPE_CHECKING:
    import numpy as np


def pair_accuracy(
    rewards: np.ndarray, tokens: np.ndarray, reasons: Sequence[str], groups: Sequence[str]
) -> dict[str, Any]:
    """Count rightly ordered pairs.

    Args:
        rewards: (N, 2) of the better and the worse answers.
        tokens: (N, 2) lengths of the answers.
        reasons: N, what is wrong with each worse answer; empty where it is not known.
        groups: N; pairs of one group, such as a patient, are drawn together when an interval is worked out.
    Returns:
        pairs, accuracy with its 95 % interval (equal rewards count half), by_reason (pairs and accuracy of each), and
        of the pairs whose lengths differ longer_wins beside longer_is_better: far above it, length stands for quality.
    """
    right = (rewards[:, 0] > rewards[:, 1]) + 0.5 * (rewards[:, 0] == rewards[:, 1])

    def of(places: Sequence[int]) -> dict[str, Any]:
        found = bootstrap_mean([float(right[one]) for one in places], [groups[one] for one in places])
        return {"pairs": len(places), "accuracy": found.to_dict()}

    every = list(range(len(reasons)))
    by_reason = {
        reason: of([one for one in every if reasons[one] == reason]) for reason in sorted(set(reasons)) if reason
    }
    return {**of(every), "by_reason": by_reason, **_by_length(right, tokens)}


def _by_length(right: np.ndarray, tokens: np.ndarray) -> dict[str, float]:
    unequal = tokens[:, 0] != tokens[:, 1]
    if not unequal.any():
        return {}
    longer = (tokens[:, 0] > tokens[:, 1])[unequal]
    wins = right[unequal] * longer + (1 - right[unequal]) * ~longer
    return {"longer_wins": round(float(wins.mean()), 4), "longer_is_better": round(float(longer.mean()), 4)}


def render_accuracy(found: Mapping[str, Any]) -> str:
    """Return the table of `pair_accuracy` as Markdown."""

    def row(name: str, part: Mapping[str, Any]) -> list[str]:
        value = part["accuracy"]
        return [name, str(part["pairs"]), f"{value['value']:.1%}", f"{value['low']:.1%} to {value['high']:.1%}"]

    rows = [row("all", found), *(row(name, part) for name, part in found["by_reason"].items())]
    lines = markdown_table(["worse by", "pairs", "rightly ordered", "95 % interval"], rows)
    if "longer_wins" in found:
        lines += (
            f"\nOf pairs of unequal length the longer answer wins in {found['longer_wins']:.1%}, "
            f"and is the better one in {found['longer_is_better']:.1%}.\n"
        )
    return lines
