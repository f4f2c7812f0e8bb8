"""Confusing pairs: questions that look alike and differ in one fact. All of a set must be right for it to count.

After MediConfusion (Sepehri et al., ICLR 2025): a model that answers both of a pair alike was not looking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.evaluation.summary import Prediction, Rows
from training.metrics import normalise_answer
from training.uncertainty import bootstrap_mean


def set_accuracy(rows: Rows) -> dict[str, Any]:
    """Score sets of confusing questions.

    Args:
        rows: predictions; those whose example names a set (`pair`, `pair_id` or `set` in its truth) are taken.

    Returns:
        `n` sets, `set_accuracy` (all right), `single_accuracy` (of the questions one by one), and `confusion`: of
        sets whose true answers differ, the share whose given answers are all the same. Nothing where no set has two.
    """
    sets: dict[str, list[Prediction]] = {}
    for row in rows:
        if row.item.pair is not None and row.right is not None:
            sets.setdefault(row.item.pair, []).append(row)
    whole = [members for members in sets.values() if len(members) > 1]
    if not whole:
        return {}
    groups = [members[0].item.group for members in whole]
    singles = [row for members in whole for row in members]
    differing = [members for members in whole if len(_answers(row.item.truth for row in members)) > 1]
    found: dict[str, Any] = {
        "n": len(whole),
        "set_accuracy": bootstrap_mean([float(all(row.right for row in members)) for members in whole], groups),
        "single_accuracy": bootstrap_mean([float(bool(row.right)) for row in singles], [r.item.group for r in singles]),
    }
    if differing:
        alike = [float(len(_answers(row.reply.text for row in members)) == 1) for members in differing]
        found["confusion"] = bootstrap_mean(alike, [members[0].item.group for members in differing])
    return {name: value if name == "n" else value.to_dict() for name, value in found.items()}


def _answers(texts: Sequence[str] | Any) -> set[str]:
    return {normalise_answer(text) for text in texts}
