"""One page of plots for the data card."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_recipes.auditing.findings import Findings

_MOST = 8
_SHOWN_BELOW = 0x530
"""Latin, Greek and Cyrillic letters lie below; matplotlib's own font has no Chinese, for one."""
_BLUES = ("#1f5a8c", "#6aa9d8", "#b9d7ee", "#7f7f7f", "#c9c9c9")


def draw(path: Path, findings: Findings) -> None:
    """Draw closed answers, modalities, sites and blind scores by split.

    Args:
        path: PNG to write.
        findings: what the audit found.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), dpi=90, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2).ravel()
    _shares(panels[0], findings, "modality", "Modality")
    _shares(panels[1], findings, "closed answer", "Answers to closed questions")
    site = any(set(part.counts.get("site", ())) - {"not given"} for part in findings.tally.splits.values())
    _shares(panels[2], findings, "site" if site else "source", "Site" if site else "Source")
    _blind(panels[3], findings)
    # No date and no version in the file: equal data give an equal card.
    canvas.print_figure(str(path), metadata={"Software": None})


def _shares(panel: Any, findings: Findings, name: str, title: str) -> None:
    """Draw the share of each value of a field, one bar a split."""
    splits = {key: part.counts.get(name, Counter()) for key, part in findings.tally.splits.items()}
    total: Counter[str] = Counter()
    for counts in splits.values():
        total.update(counts)
    values = [value for value, _ in total.most_common(_MOST)][::-1]
    height = 0.8 / max(len(splits), 1)
    for number, (split, counts) in enumerate(splits.items()):
        shares = [counts[value] / max(counts.total(), 1) for value in values]
        places = [place + 0.4 - height * (number + 0.5) for place in range(len(values))]
        panel.barh(places, shares, height, label=split, color=_BLUES[number % len(_BLUES)])
    panel.set_yticks(range(len(values)), [_label(value, len(values) - at) for at, value in enumerate(values)])
    panel.set_xlabel("share of the split's records")
    panel.set_title(title)
    if values:
        panel.legend(fontsize=8)
    else:
        panel.text(0.5, 0.5, "none", ha="center", transform=panel.transAxes)


def _label(value: str, row: int) -> str:
    """Return a value as the plot's font can show it; else which row of the card's table it is."""
    shown = value[:28].replace("$", r"\$")
    return shown if all(ord(letter) < _SHOWN_BELOW for letter in shown) else f"row {row} of the table"


def _blind(panel: Any, findings: Findings) -> None:
    """Draw what the blind baseline reaches, with intervals, beside the commonest answer."""
    panel.set_title("Answered without the picture")
    bars = [(f"{one.split}\n{kind}", scores) for one in findings.blind for kind, scores in one.scores.items()]
    if not bars:
        panel.text(0.5, 0.5, "not measured", ha="center", transform=panel.transAxes)
        return
    for shift, key, label in ((-0.2, "blind", "nearest questions"), (0.2, "commonest", "commonest answer")):
        found = [scores[key] for _, scores in bars]
        errors = [[max(0.0, one.value - one.low) for one in found], [max(0.0, one.high - one.value) for one in found]]
        places = [place + shift for place in range(len(bars))]
        colour = _BLUES[0] if key == "blind" else _BLUES[4]
        panel.bar(places, [one.value for one in found], 0.38, yerr=errors, label=label, color=colour, capsize=3)
    panel.set_xticks(range(len(bars)), [name for name, _ in bars])
    panel.set_ylim(0, 1)
    panel.set_ylabel("share right")
    panel.legend(fontsize=8)
