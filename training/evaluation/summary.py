"""Scored answers into the numbers of `metrics.json`: one block for all, and one for each source, attribute and kind."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training.evaluation.answers import Reply
from training.evaluation.items import Item
from training.evaluation.own_scores import REPORT_SCORES
from training.evaluation.scorer import Pair, score_all
from training.metrics import compare_findings, exact_match, normalise_answer, open_recall, token_f1
from training.uncertainty import (
    COVERAGES,
    accuracy_at,
    aurc,
    bootstrap_mean,
    bootstrap_ratio,
    brier,
    expected_calibration_error,
)


@dataclass(frozen=True)
class Prediction:
    """One item with the model's reply."""

    item: Item
    reply: Reply
    right: bool | None
    """None where answers of its kind are not judged right or wrong."""

    def to_dict(self) -> dict[str, Any]:
        """Return the line of `predictions.jsonl`; the prediction is the model's even where the assistant abstains."""
        item, reply = self.item, self.reply
        return {
            "id": item.id,
            "question": item.question,
            "truth": item.truth,
            "prediction": reply.text,
            "answer_type": item.answer_type,
            "confidence": round(reply.confidence, 4),
            "abstained": reply.stop is not None,
            "seconds": round(reply.seconds, 4),
            "right": self.right,
            "stop": reply.stop,
            "source": item.source,
            "attribute": item.attribute,
            "kind": item.kind,
            "task": item.task,
            "modality": item.modality,
            "choices": list(item.choices),
            "images": len(item.images),
            # Tells whose answers stand or fall together, and nothing else of the patient.
            "group": hashlib.sha256(item.group.encode()).hexdigest()[:12],
            **({"standard": True} if item.standard else {}),
            **({"written": reply.written} if reply.written and reply.written != reply.text else {}),
        }

    def pair(self) -> Pair:
        """Return what scorers take."""
        item, reply = self.item, self.reply
        return Pair(
            reply.text, item.truth, item.answer_type, item.task, item.choices, len(item.images) > 1, reply.written
        )


Rows = Sequence[Prediction]


def block(rows: Rows) -> dict[str, Any]:
    """Return all scores of some predictions; parts for which there is nothing are left out.

    Args:
        rows: predictions, in any order.

    Returns:
        `n`, `right` (share of right answers with abstention off), `closed`, `choice`, `open`, `caption`, `report`,
        `assistant` (with abstention on) and `calibration`; estimates are {"value", "low", "high"}.
    """
    judged = [row for row in rows if row.right is not None]
    found: dict[str, Any] = {"n": len(rows), "groups": len({row.item.group for row in rows})}
    if judged:
        found["right"] = _mean(judged, lambda row: float(bool(row.right)))
    for answer_type in ("closed", "choice"):
        part = [row for row in rows if row.item.answer_type == answer_type]
        if part:
            found[answer_type] = _closed(part)
    free = [row for row in rows if row.item.answer_type == "open"]
    for name, score in (("open", _open), ("caption", _caption)):
        part = [row for row in free if (row.item.task == "caption") == (name == "caption")]
        if part:
            found[name] = score(part)
    reports = [row for row in rows if row.item.answer_type == "report"]
    if reports:
        found["report"] = _report(reports)
    found["assistant"] = _assistant(rows, judged)
    if judged:
        found["calibration"] = calibration_numbers(
            [row.reply.confidence for row in judged], [float(bool(row.right)) for row in judged]
        )
    return found


def breakdown(rows: Rows, key: Callable[[Prediction], str | None]) -> dict[str, Any]:
    """Return a block for each value of a key, by name; rows whose key is None are passed over."""
    parts: dict[str, list[Prediction]] = {}
    for row in rows:
        name = key(row)
        if name is not None:
            parts.setdefault(name, []).append(row)
    return {name: block(part) for name, part in sorted(parts.items())}


def summary(rows: Rows, standard: Rows) -> dict[str, Any]:
    """Return all blocks of `metrics.json`.

    Args:
        rows: the data's own questions.
        standard: the two questions put to every picture.

    Returns:
        `overall`, `by_source`, `by_attribute` (then by answer type), `by_kind` (by source, then kind), and
        `standard_questions`.
    """
    attributes = sorted({row.item.attribute for row in rows if row.item.attribute})
    sources = sorted({row.item.source for row in rows})
    return {
        "overall": block(rows),
        "by_source": breakdown(rows, lambda row: row.item.source),
        "by_attribute": {
            name: breakdown([row for row in rows if row.item.attribute == name], lambda row: row.item.answer_type)
            for name in attributes
        },
        "by_kind": {
            name: breakdown([row for row in rows if row.item.source == name], lambda row: row.item.kind)
            for name in sources
        },
        "standard_questions": {
            "modality": breakdown([row for row in standard if row.item.attribute == "modality"], lambda _: "all")
            | breakdown([row for row in standard if row.item.attribute == "modality"], lambda row: row.item.truth),
            "region": breakdown([row for row in standard if row.item.attribute == "region"], lambda _: "all")
            | breakdown([row for row in standard if row.item.attribute == "region"], lambda row: row.item.truth),
        },
    }


def calibration_numbers(
    confidence: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray
) -> dict[str, Any]:
    """Return ECE, Brier score, AURC and the accuracy of the surest shares."""
    return {
        "n": len(right),
        "ece": round(expected_calibration_error(confidence, right), 4),
        "brier": round(brier(confidence, right), 4),
        "aurc": round(aurc(confidence, right), 4),
        "accuracy_at_coverage": {
            f"{coverage:.0%}": round(accuracy_at(confidence, right, coverage), 4) for coverage in COVERAGES
        },
    }


def _mean(rows: Rows, score: Callable[[Prediction], float]) -> dict[str, float]:
    return bootstrap_mean([score(row) for row in rows], [row.item.group for row in rows]).to_dict()


def _closed(rows: Rows) -> dict[str, Any]:
    truths = Counter(normalise_answer(row.item.truth) for row in rows)
    return {
        "n": len(rows),
        "accuracy": _mean(rows, lambda row: float(bool(row.right))),
        "commonest_answer": round(max(truths.values()) / len(rows), 4),
    }


def _open(rows: Rows) -> dict[str, Any]:
    truths = Counter(normalise_answer(row.item.truth) for row in rows)
    return {
        "n": len(rows),
        "right": _mean(rows, lambda row: float(bool(row.right))),
        "exact_match": _mean(rows, lambda row: float(exact_match(row.reply.text, row.item.truth))),
        "recall": _mean(rows, lambda row: open_recall(row.reply.text, row.item.truth)),
        "token_f1": _mean(rows, lambda row: token_f1(row.reply.text, row.item.truth)),
        "commonest_answer": round(max(truths.values()) / len(rows), 4),
    }


def _caption(rows: Rows) -> dict[str, Any]:
    scorers = [scorer for scorer in REPORT_SCORES if scorer.name in ("bleu4", "rouge_l", "meteor", "length_ratio")]
    found = score_all(scorers, [row.pair() for row in rows], [row.item.group for row in rows])
    return {
        "n": len(rows),
        **{name: replace(estimate, n=None).to_dict() for name, estimate in found.items()},
        "token_f1": _mean(rows, lambda row: token_f1(row.reply.text, row.item.truth)),
    }


def _report(rows: Rows) -> dict[str, Any]:
    found = _caption(rows)
    known = [(row, row.item.findings) for row in rows if row.item.findings is not None]
    for name, places in (("findings", True), ("findings_by_name", False)):
        if not known:
            continue
        groups = [row.item.group for row, _ in known]
        counts = [compare_findings(row.reply.text, truth, places=places) for row, truth in known]
        shared = [one.shared for one in counts]
        said, wanted = [one.shared + one.extra for one in counts], [one.shared + one.missed for one in counts]
        both = [a + b for a, b in zip(said, wanted, strict=True)]
        found[name] = {
            "n": len(known),
            "precision": bootstrap_ratio(shared, said, groups).to_dict(),
            "recall": bootstrap_ratio(shared, wanted, groups).to_dict(),
            "f1": bootstrap_ratio([2 * one for one in shared], both, groups).to_dict(),
            "reports_all_right": bootstrap_mean([not one.extra + one.missed for one in counts], groups).to_dict(),
        }
    return found


def _assistant(rows: Rows, judged: Rows) -> dict[str, Any]:
    """What the reader gets: how much is answered, how much of that is right, and why the rest is not."""
    given = [row for row in judged if row.reply.stop is None]
    found: dict[str, Any] = {
        "coverage": _mean(rows, lambda row: float(row.reply.stop is None)),
        "abstained": round(sum(row.reply.stop is not None for row in rows) / len(rows), 4),
        "abstained_for": dict(Counter(row.reply.stop for row in rows if row.reply.stop)),
    }
    if given:
        found["selective_accuracy"] = _mean(given, lambda row: float(bool(row.right)))
    withheld = [row for row in judged if row.reply.stop is not None]
    if withheld:
        found["accuracy_of_withheld"] = _mean(withheld, lambda row: float(bool(row.right)))
    return found


@dataclass(frozen=True)
class Highlight:
    """One number that a model card leads with: a place in `metrics.json`."""

    name: str
    path: tuple[str, ...]
    """Keys down to the block of one answer type; the last names the estimate."""


HIGHLIGHTS: tuple[Highlight, ...] = (
    Highlight("Kind of image", ("standard_questions", "modality", "all", "open", "right")),
    Highlight("Body region", ("standard_questions", "region", "all", "open", "right")),
    Highlight("Brain MRI, tumour type (4 classes)", ("by_attribute", "brain finding", "choice", "choice", "accuracy")),
    Highlight("Brain MRI, tumour or not", ("by_attribute", "brain finding", "closed", "closed", "accuracy")),
    Highlight(
        "Breast ultrasound, normal, benign or malignant",
        ("by_attribute", "breast finding", "choice", "choice", "accuracy"),
    ),
    Highlight("Breast ultrasound, lesion or not", ("by_attribute", "breast finding", "closed", "closed", "accuracy")),
    Highlight("Dermoscopy, melanoma or not", ("by_attribute", "skin finding", "closed", "closed", "accuracy")),
    Highlight(
        "Small chest X-rays, pneumonia or not", ("by_attribute", "chest finding", "closed", "closed", "accuracy")
    ),
    Highlight("Blood smear, number of white cells", ("by_attribute", "white cells", "open", "open", "right")),
    Highlight("Blood smear, platelets or not", ("by_attribute", "platelets", "closed", "closed", "accuracy")),
    Highlight("VQA-RAD, closed questions", ("by_source", "VQA-RAD", "closed", "accuracy")),
    Highlight("VQA-RAD, open questions, recall", ("by_source", "VQA-RAD", "open", "recall")),
    Highlight("Phantoms, questions answered exactly", ("by_source", "phantom", "right")),
    Highlight("Phantoms, findings of reports, F1", ("by_source", "phantom", "report", "findings", "f1")),
)


def highlights(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return those of `HIGHLIGHTS` that a metrics file holds.

    Args:
        metrics: made by `summary`.

    Returns:
        {"name", "n", "value", "low", "high"} each, and "commonest_answer" where that is known.
    """
    found = []
    for one in HIGHLIGHTS:
        inner, estimate = _walk(metrics, one.path[:-1]), _walk(metrics, one.path)
        if isinstance(inner, dict) and isinstance(estimate, dict):
            extra = {key: inner[key] for key in ("commonest_answer",) if key in inner and one.path[-1] != "recall"}
            found.append({"name": one.name, "n": inner["n"], **estimate, **extra})
    return found


def _walk(tree: Any, path: Iterable[str]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
