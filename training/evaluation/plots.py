"""Plots of an evaluation as SVG: reliability, risk over coverage, accuracy by modality."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from training.evaluation.summary import Prediction
from training.uncertainty import bootstrap_mean, risks

INK, SOFT, ACCENT, GRID = "#1f2933", "#8795a1", "#1b6ca8", "#e4e9ee"
_SIZE = (5.2, 3.6)
_BINS = 10


def draw_plots(rows: Sequence[Prediction]) -> dict[str, str]:
    """Draw what the answers allow.

    Args:
        rows: the answers to the data's own questions.

    Returns:
        `reliability`, `risk_coverage`, `modality`, each an SVG with no link to anything outside; without judged
        answers nothing.
    """
    judged = [row for row in rows if row.right is not None]
    if not judged:
        return {}
    sure = np.array([row.reply.confidence for row in judged])
    right = np.array([float(bool(row.right)) for row in judged])
    return {
        "reliability": reliability(sure, right),
        "risk_coverage": risk_coverage(sure, right),
        "modality": modality_bars(judged),
    }


def reliability(sure: np.ndarray, right: np.ndarray) -> str:
    """Plot the share of right answers over the confidence.

    Args:
        sure: (N,) confidences.
        right: (N,) 0 or 1.

    Returns:
        SVG.
    """
    figure, axes = _axes("Confidence", "Share right")
    place = np.clip(np.ceil(sure * _BINS).astype(int) - 1, 0, _BINS - 1)
    count = np.bincount(place, minlength=_BINS)
    filled = count > 0
    hit = np.bincount(place, weights=right, minlength=_BINS)[filled] / count[filled]
    mean = np.bincount(place, weights=sure, minlength=_BINS)[filled] / count[filled]
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--", label="perfect")
    low, high = wilson(hit, count[filled])
    around = np.stack([hit - low, high - hit])
    axes.errorbar(mean, hit, yerr=np.maximum(around, 0), color=ACCENT, marker="o", markersize=5, linewidth=1.5,
                  elinewidth=1, capsize=2)  # fmt: skip
    for x, y, n in zip(mean, hit, count[filled], strict=True):
        axes.annotate(str(n), (x, y), xytext=(6, -10), textcoords="offset points", fontsize=7, color=SOFT)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    return _svg(figure, "Share of right answers over confidence; the small numbers count answers")


def wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of shares; wide where few were counted, even if all or none were right.

    Args:
        share: (B,) 0 to 1.
        count: (B,) at least 1.

    Returns:
        Lower and upper ends, (B,) each.

    Source: Wilson, JASA 1927.
    """
    z = 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - half, centre + half


def risk_coverage(sure: np.ndarray, right: np.ndarray) -> str:
    """Plot the share of wrong answers over the share that is answered, the surest first; see `reliability`."""
    figure, axes = _axes("Share answered, surest first", "Share wrong of the answered")
    curve = risks(sure, right)
    coverage = np.arange(1, len(curve) + 1) / len(curve)
    axes.plot(coverage, curve, color=ACCENT, linewidth=1.8)
    axes.axhline(1 - right.mean(), color=SOFT, linewidth=1, linestyle="--")
    axes.annotate("all answered", (0.02, 1 - right.mean()), xytext=(0, 4), textcoords="offset points", fontsize=8,
                  color=SOFT)  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(0.05, float(curve.max()) * 1.15))
    return _svg(figure, "Share of wrong answers over the share of questions answered")


def modality_bars(rows: Sequence[Prediction]) -> str:
    """Plot the share of right answers for each modality, with 95 % intervals.

    Args:
        rows: predictions that are judged right or wrong.

    Returns:
        SVG.
    """
    parts: dict[str, list[Prediction]] = {}
    for row in rows:
        parts.setdefault(row.item.modality or "not known", []).append(row)
    ordered = sorted(parts.items(), key=lambda part: -len(part[1]))
    found = [
        bootstrap_mean([float(bool(row.right)) for row in part], [row.item.group for row in part])
        for _, part in ordered
    ]
    figure, axes = _axes("Share right", "", height=0.9 + 0.42 * len(ordered))
    places = np.arange(len(ordered))[::-1]
    values = np.array([one.value for one in found])
    around = np.array([[one.value - one.low for one in found], [one.high - one.value for one in found]])
    axes.barh(places, values, height=0.6, color=ACCENT, alpha=0.85)
    axes.errorbar(values, places, xerr=np.maximum(around, 0), fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    axes.set_yticks(places, [f"{name} ({len(part)})" for name, part in ordered])
    axes.set_xlim(0, 1.02)
    axes.grid(axis="y", visible=False)
    return _svg(figure, "Share of right answers for each modality")


def _axes(x: str, y: str, height: float = _SIZE[1]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # A figure of its own, not pyplot's: nothing stays behind, and no window system is asked for.
    figure = Figure(figsize=(_SIZE[0], height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(SOFT)
    return figure, axes


def _svg(figure: Any, title: str) -> str:
    from matplotlib import rc_context

    buffer = io.StringIO()
    # Outlines of letters, so that it looks the same everywhere; a fixed salt and no date keep equal runs equal.
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "medassist"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
