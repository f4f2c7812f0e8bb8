"""The top level of `metrics.json`: the usual scores with their intervals, for all answers and for parts of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from training.calibration_fit import cross_fitted, fit_temperature
from training.evaluation.own_scores import QUESTION_SCORES, REPORT_SCORES
from training.evaluation.scorer import Scorer, score_all
from training.evaluation.summary import Prediction, Rows, calibration_numbers
from training.uncertainty import (
    aurc,
    bootstrap_mean,
    bootstrap_of,
    brier,
    expected_calibration_error,
)

PROTOCOL = "2"
"""Changes when a rule of scoring, splitting or asking changes, so that older numbers are not compared with newer."""


def headline(rows: Rows) -> dict[str, Any]:
    """Return the usual scores of some predictions.

    Args:
        rows: predictions of any kind.

    Returns:
        `n`, the scores of questions, and `report` with those of reports (captions if there is no report); each
        {"value", "low", "high", "n"}; a score with nothing to count is left out.
    """
    pairs, groups = [row.pair() for row in rows], [row.item.group for row in rows]
    found: dict[str, Any] = {"n": len(rows)}
    found |= {name: one.to_dict() for name, one in score_all(QUESTION_SCORES, pairs, groups).items()}
    for name, wanted in (("report", True), ("caption", False)):
        part = [row for row in rows if (row.item.answer_type == "report" if wanted else row.item.task == "caption")]
        if part:
            scores = score_all(REPORT_SCORES, [row.pair() for row in part], [row.item.group for row in part])
            found[name] = {key: one.to_dict() for key, one in scores.items()}
    return found


def by_scorer(scorers: Sequence[Scorer], rows: Rows) -> dict[str, Any]:
    """Return what each scorer gives over all predictions, with its rule and its source."""
    pairs, groups = [row.pair() for row in rows], [row.item.group for row in rows]
    rules = {scorer.name: scorer for scorer in scorers}
    return {
        name: {**one.to_dict(), "rule": rules[name].rule, "source": rules[name].source}
        for name, one in score_all(scorers, pairs, groups).items()
    }


def parts(rows: Rows, key: Callable[[Prediction], str | None]) -> dict[str, list[Prediction]]:
    """Return the predictions for each value of a key, by name; those whose key is None are left out."""
    found: dict[str, list[Prediction]] = {}
    for row in rows:
        if (name := key(row)) is not None:
            found.setdefault(name, []).append(row)
    return dict(sorted(found.items()))


def breakdowns(rows: Rows) -> dict[str, Any]:
    """Return the headline by modality, by source, by answer type, and by each trait of patient and study.

    Args:
        rows: predictions.

    Returns:
        {"modality": {name: headline}, "source": ..., "answer_type": ..., "group": {trait: {value: headline}}}.
    """
    keys: dict[str, Callable[[Prediction], str | None]] = {
        "modality": lambda row: row.item.modality,
        "source": lambda row: row.item.source,
        "answer_type": lambda row: "caption" if row.item.task == "caption" else row.item.answer_type,
    }
    found: dict[str, Any] = {
        name: {value: headline(part) for value, part in parts(rows, key).items()} for name, key in keys.items()
    }
    found["group"] = {
        trait: {value: headline(part) for value, part in parts(rows, trait_key(trait)).items()}
        for trait in traits(rows)
    }
    return found


def traits(rows: Rows) -> list[str]:
    """Return the traits that at least one prediction has, sorted."""
    return sorted({name for row in rows for name, _ in row.item.traits})


def trait_key(trait: str) -> Callable[[Prediction], str | None]:
    """Return a function that tells the value of a trait of a prediction; None where it is not known."""
    return lambda row: dict(row.item.traits).get(trait)


def calibration(rows: Rows) -> dict[str, Any]:
    """Return how far confidences can be trusted, before and after temperature scaling.

    Args:
        rows: predictions; those judged right or wrong are taken.

    Returns:
        `ece`, `brier`, `aurc` of the confidences as given, `intervals` of the three, and `temperature`: the value
        fitted on all, and the three numbers cross-fitted, each patient scaled by a fit on the other patients.
    """
    judged = [row for row in rows if row.right is not None]
    if not judged:
        return {}
    sure = np.array([row.reply.confidence for row in judged])
    right = np.array([float(bool(row.right)) for row in judged])
    groups = [row.item.group for row in judged]
    measures = {"ece": expected_calibration_error, "brier": brier, "aurc": aurc}
    scaled = cross_fitted(sure, right, groups, fit=fit_temperature) if len(set(groups)) > 1 else sure
    return {
        **calibration_numbers(sure, right),
        "intervals": {
            name: bootstrap_of(lambda at, f=measure: f(sure[at], right[at]), groups).to_dict()  # type: ignore[misc]
            for name, measure in measures.items()
        },
        "temperature": {
            "fitted": round(1 / fit_temperature(sure, right).slope, 4),
            "cross_fitted": calibration_numbers(scaled, right),
        },
    }


def abstention(rows: Rows) -> dict[str, Any]:
    """Return how much the assistant would answer, and how much of that is right.

    Args:
        rows: predictions.

    Returns:
        `coverage`, `accuracy` when answered, `accuracy_of_withheld`, and how often it abstained `for` what.
    """
    judged = [row for row in rows if row.right is not None]
    found: dict[str, Any] = {"coverage": _mean(rows, lambda row: row.reply.stop is None)}
    for name, answered in (("accuracy", True), ("accuracy_of_withheld", False)):
        part = [row for row in judged if (row.reply.stop is None) == answered]
        if part:
            found[name] = _mean(part, lambda row: bool(row.right))
    reasons = [row.reply.stop for row in rows if row.reply.stop]
    return {**found, "for": {name: reasons.count(name) for name in sorted(set(reasons))}}


def _mean(rows: Rows, score: Callable[[Prediction], bool]) -> Mapping[str, float]:
    estimate = bootstrap_mean([float(score(row)) for row in rows], [row.item.group for row in rows])
    return {**estimate.to_dict(), "n": len(rows)}
