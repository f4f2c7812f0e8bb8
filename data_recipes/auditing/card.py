"""The data card: what the audit found, as Markdown and JSON, with one page of plots where matplotlib is there."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from data_recipes.auditing.blind import Blind
from data_recipes.auditing.findings import Findings
from data_recipes.auditing.tally import SplitTally

logger = logging.getLogger(__name__)

CARD_NAME = "DATA_CARD.md"
JSON_NAME = "audit.json"
PLOT_NAME = "data_card.png"

_ROWS = 12
_MANY = ("source", "modality", "site", "anatomy", "answer type")


def write_card(out: Path, findings: Findings) -> None:
    """Write card, JSON and plots into a folder.

    Args:
        out: folder; made if it is not there.
        findings: what the audit found.
    """
    out.mkdir(parents=True, exist_ok=True)
    plotted = _plot(out / PLOT_NAME, findings)
    (out / JSON_NAME).write_text(json.dumps(findings.to_dict(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (out / CARD_NAME).write_text("\n".join(card_lines(findings, plotted)) + "\n", encoding="utf-8")


def card_lines(findings: Findings, plotted: bool) -> Iterator[str]:
    """Yield the lines of the card.

    Args:
        findings: what the audit found.
        plotted: whether there is a page of plots to show.
    Yields:
        Markdown.
    """
    yield from ("# Data card", "", "Written by `python -m data_recipes.audit`.", "")
    if plotted:
        yield from (f"![Records, answers, modalities and blind scores by split]({PLOT_NAME})", "")
    yield from _leak_lines(findings)
    yield from (
        "## Splits",
        "",
        "| split | files | records | words an answer | with a patient key |",
        "|---|---|---|---|---|",
    )
    for name, part in findings.tally.splits.items():
        files = ", ".join(file for file, split in findings.files.items() if split == name)
        given = part.counts.get("patient", Counter())["given"] / max(part.records, 1)
        yield f"| {name} | {files} | {part.records} | {part.words / max(part.records, 1):.1f} | {given:.0%} |"
    yield from ("", f"{findings.pictures} different pictures.", "")
    yield from _blind_lines(findings.blind)
    yield from _balance_lines(findings.tally.splits)
    yield from ("## Licences", "", "| licence | records from |", "|---|---|")
    for licence, sources in sorted(findings.tally.licences.items()):
        named = ", ".join(f"{name} ({count})" for name, count in sources.most_common(_ROWS))
        yield f"| {_cell(licence)} | {_cell(named)} |"
    if findings.notices:
        yield from ("", "## To know", "", *(f"- {notice}" for notice in findings.notices))


def _leak_lines(findings: Findings) -> Iterator[str]:
    yield from ("## Leaks and faults", "")
    told = [*findings.faults, *(leak.text for leak in findings.leaks)]
    if not told:
        yield "None: no id, patient, picture (exact or nearly the same) or pictureless question stands in two splits."
    for fault in findings.faults:
        yield f"- {_bullet(fault)}"
    for leak in findings.leaks:
        state = f" **Allowed:** {leak.allowed}" if leak.allowed else "" if leak.fails else " **A notice, no failure.**"
        first, *rest = _bullet(leak.text).split("\n")
        yield "\n".join([f"- {first}{state}", *rest])
    for pair in findings.alike:
        yield f"- worth a look: {pair}"
    yield ""


def _blind_lines(blind: list[Blind]) -> Iterator[str]:
    yield from ("## Answered without the picture", "")
    if not blind:
        yield from ("Not measured: it takes a training split and a held-out one with questions.", "")
        return
    yield "Share of held-out questions that the nearest training questions answer, and the commonest training answer."
    yield "A model has looked at the pictures only as far as it is better than this. 95 % intervals, drawn by patient."
    yield from ("", "| split | answers | nearest questions | commonest answer | word recall |", "|---|---|---|---|---|")
    for one in blind:
        for kind, scores in one.scores.items():
            recall = scores.get("recall", "")
            yield f"| {one.split} | {kind} | {scores['blind']} | {scores['commonest']} | {recall} |"
    yield ""


def _balance_lines(splits: dict[str, SplitTally]) -> Iterator[str]:
    names = list(dict.fromkeys(name for part in splits.values() for name in part.counts))
    yield from ("## Balance", "")
    for name in names:
        total: Counter[str] = Counter()
        for part in splits.values():
            total.update(part.counts.get(name, Counter()))
        if set(total) <= {"not given"}:
            continue
        yield from (
            f"### {name.capitalize()}",
            "",
            f"| {name} | {' | '.join(splits)} |",
            "|---" * (len(splits) + 1) + "|",
        )
        for value, _ in total.most_common(_ROWS):
            cells = [part.counts.get(name, Counter())[value] for part in splits.values()]
            sums = [max(part.counts.get(name, Counter()).total(), 1) for part in splits.values()]
            shown = [f"{count} ({count / whole:.0%})" for count, whole in zip(cells, sums, strict=True)]
            yield f"| {_cell(value)} | {' | '.join(shown)} |"
        if len(total) > _ROWS:
            yield f"| … {len(total) - _ROWS} more |" + " |" * len(splits)
        yield ""


def _plot(path: Path, findings: Findings) -> bool:
    """Draw the page of plots; without matplotlib say so and go on."""
    try:
        import matplotlib  # noqa: F401 - asked for here, used by the module below
    except ImportError:
        logger.warning("no plots in the data card: matplotlib is missing. pip install 'medassist[train]'")
        return False
    from data_recipes.auditing.plots import draw

    draw(path, findings)
    return True


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _bullet(text: str) -> str:
    """Turn the lines under a fault into a nested list."""
    first, *rest = text.splitlines()
    return "\n".join([first, *(f"  - {line.strip()}" for line in rest)])
