"""Is one run better than another on the same questions? Paired bootstrap and McNemar's test."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from training.metrics import open_recall, token_f1
from training.uncertainty import bootstrap_mean

Line = Mapping[str, Any]
_NEEDED = ("id", "question", "truth", "prediction", "answer_type", "right")
LEVEL = 0.05
"""A difference whose McNemar p lies below is called more than chance."""


def read_predictions(path: Path) -> list[dict[str, Any]]:
    """Read a `predictions.jsonl`.

    Args:
        path: of the file.

    Returns:
        Its lines.

    Raises:
        DataError: it cannot be read, is empty, names an id twice, or a line lacks a field; names file and line.
    """
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}). Give a predictions.jsonl of training.evaluate.") from error
    lines: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise DataError(f"{path}:{number} is no JSON ({error}). Each line is one prediction.") from error
        missing = [name for name in _NEEDED if not isinstance(line, dict) or name not in line]
        if missing:
            raise DataError(f"{path}:{number} lacks {', '.join(missing)}. Evaluate again: python -m training.evaluate")
        if line["id"] in seen:
            raise DataError(f"{path}:{number} repeats the id {line['id']!r} of line {seen[line['id']]}. Keep one.")
        seen[line["id"]] = number
        lines.append(line)
    if not lines:
        raise DataError(f"{path} holds no prediction. Give a predictions.jsonl of training.evaluate.")
    return lines


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p-value that two models are right equally often.

    Args:
        only_first: questions that only the first answers right.
        only_second: questions that only the second answers right.

    Returns:
        0 to 1; 1 where the two never differ. Answers of one patient count as if they were independent.

    Source: McNemar, Psychometrika 1947, with the binomial distribution.
    """
    count, least = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(count, k) for k in range(least + 1))
    return float(min(1.0, 2 * tail / 2**count))


def compare_lines(ours: Sequence[Line], theirs: Sequence[Line], *, name: str = "the other run") -> dict[str, Any]:
    """Compare two runs on the questions that both answered.

    Args:
        ours: lines of `predictions.jsonl`; the two standard questions of each picture are passed over.
        theirs: likewise.
        name: of the other run.

    Returns:
        `n` shared questions, how many of either run are `left_out`; `right` and, for open questions, `open_recall` and
        `token_f1`: ours, theirs, and the paired difference with its interval; for `right` McNemar's counts and p;
        `by` answer type and source; and a `verdict`.

    Raises:
        DataError: no question is shared, or one id stands for two questions.
    """
    ours, theirs = ([line for line in lines if not line.get("standard")] for lines in (ours, theirs))
    other = {line["id"]: line for line in theirs}
    both = [(line, other[line["id"]]) for line in ours if line["id"] in other]
    if not both:
        raise DataError(f"{name} shares no question id with this run. Compare runs on the same data file.")
    differing = [a["id"] for a, b in both if (a["question"], a["truth"]) != (b["question"], b["truth"])]
    if differing:
        raise DataError(
            f"{name} was run on other data: {len(differing)} ids, {differing[0]!r} first, name another question or "
            "another truth there. Compare runs whose data_sha256 agree."
        )
    judged = [(a, b) for a, b in both if a["right"] is not None and b["right"] is not None]
    found: dict[str, Any] = {
        "name": name,
        "n": len(both),
        "left_out": {"ours": len(ours) - len(both), "theirs": len(theirs) - len(both)},
    }
    if judged:
        found["right"] = _right(judged)
    free = [(a, b) for a, b in both if a["answer_type"] == "open" and a.get("task") != "caption"]
    scores: dict[str, Callable[[str, str], float]] = {"open_recall": open_recall, "token_f1": token_f1}
    for score, function in scores.items() if free else ():
        found[score] = _difference(free, lambda line, f=function: f(line["prediction"], line["truth"]))  # type: ignore[misc]
    found["by"] = {
        key: {
            str(value): _right(part)
            for value in sorted({str(a.get(key)) for a, _ in judged if a.get(key)})
            if (part := [(a, b) for a, b in judged if str(a.get(key)) == value])
        }
        for key in ("answer_type", "source")
    }
    found["verdict"] = _verdict(found)
    return found


def _right(pairs: Sequence[tuple[Line, Line]]) -> dict[str, Any]:
    first = sum(bool(a["right"]) and not b["right"] for a, b in pairs)
    second = sum(bool(b["right"]) and not a["right"] for a, b in pairs)
    return {
        **_difference(pairs, lambda line: float(bool(line["right"]))),
        "only_ours_right": first,
        "only_theirs_right": second,
        "mcnemar_p": float(f"{mcnemar(first, second):.3g}"),
    }


def _difference(pairs: Sequence[tuple[Line, Line]], score: Callable[[Line], float]) -> dict[str, Any]:
    values = [(score(a), score(b)) for a, b in pairs]
    groups = [a.get("group") or a["id"] for a, _ in pairs]
    return {
        "n": len(pairs),
        "ours": bootstrap_mean([ours for ours, _ in values], groups).to_dict(),
        "theirs": bootstrap_mean([theirs for _, theirs in values], groups).to_dict(),
        "difference": bootstrap_mean([ours - theirs for ours, theirs in values], groups).to_dict(),
    }


def _verdict(found: Mapping[str, Any]) -> str:
    if "right" not in found:
        return f"None of the {found['n']} shared questions is judged right or wrong."
    one, gap = found["right"], found["right"]["difference"]
    text = (
        f"Against {found['name']} on {one['n']} shared questions: {one['ours']['value']:.1%} right against "
        f"{one['theirs']['value']:.1%}, a difference of {gap['value']:+.1%} ({gap['low']:+.1%} to {gap['high']:+.1%}), "
        f"McNemar p {one['mcnemar_p']:.2g}."
    )
    sure = one["mcnemar_p"] < LEVEL and (gap["low"] > 0 or gap["high"] < 0)
    return text + (" More than chance." if sure else " That may be chance.")
