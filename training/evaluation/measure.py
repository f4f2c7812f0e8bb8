"""All that is measured of a model's answers, put together as `metrics.json` holds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.imaging.picture import Picture
from training.evaluation.answers import Asks
from training.evaluation.conformal import conformal
from training.evaluation.controls import run_controls
from training.evaluation.fairness import fairness
from training.evaluation.headline import PROTOCOL, abstention, breakdowns, by_scorer, calibration, headline
from training.evaluation.optional_scores import open_scorer
from training.evaluation.pairs import set_accuracy
from training.evaluation.progress import progress
from training.evaluation.robustness import run_robustness
from training.evaluation.scorers import find_scorers
from training.evaluation.settings import EvaluationSettings
from training.evaluation.summary import Rows, highlights, summary

CONTROL_LIMIT = 500
ROBUSTNESS_LIMIT = 200


def score_rows(settings: EvaluationSettings, rows: Rows) -> dict[str, Any]:
    """Return what can be said of answers without asking again.

    Args:
        settings: which scorers, groups and risk.
        rows: the answers to the data's own questions.

    Returns:
        The top level of `metrics.json`: the headline, `scorers`, `calibration`, `abstention`, `conformal`,
        `fairness`, `pairs` and `by`. Parts for which the data have nothing are left out.
    """
    extra = [open_scorer(name, folder) for name, folder in settings.weights]
    found = {
        **headline(rows),
        "scorers": by_scorer([*find_scorers(settings.scorers), *extra], rows),
        "calibration": calibration(rows),
        "abstention": abstention(rows),
        "conformal": conformal(rows, settings.risk),
        "fairness": fairness(rows, settings.group_by),
        "pairs": set_accuracy(rows),
        "by": breakdowns(rows),
    }
    return {name: value for name, value in found.items() if value != {} or name == "calibration"}


def measure(
    asker: Asks, settings: EvaluationSettings, rows: Rows, standard: Rows, load: Callable[[Path], Picture]
) -> dict[str, Any]:
    """Return all numbers of `metrics.json`, controls and robustness if they are asked for.

    Args:
        asker: of the model.
        settings: what to measure.
        rows: the answers to the data's own questions.
        standard: the answers to the two questions that every picture is asked.
        load: reads a picture.

    Returns:
        Plain values, ready for JSON.
    """
    found: dict[str, Any] = {
        "protocol": {"version": PROTOCOL, **settings.protocol(), "intervals": "95 % bootstrap over patients or images"},
        **score_rows(settings, rows),
        **summary(rows, standard),
    }
    found["highlights"] = highlights(found)
    if settings.controls:
        told = progress("control questions", 4 * min(CONTROL_LIMIT, len(rows)))
        found["controls"] = run_controls(asker, rows, load, limit=CONTROL_LIMIT, told=told)
    if settings.robustness:
        told = progress("questions over corrupted pictures", 30 * min(ROBUSTNESS_LIMIT, len(rows)))
        found["robustness"] = run_robustness(asker, rows, load, limit=ROBUSTNESS_LIMIT, told=told)
    return found
