"""`report.html`: one page that a person can read. Everything is within it; it asks for nothing from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from assistant.conversation import NOT_FOR_CLINICAL_USE
from training.evaluation import page_sections as parts
from training.evaluation.page_html import STYLE, section, svg_image, table, thumbnail
from training.evaluation.summary import Prediction

WORST = 25
"""So many of the surest wrong answers are shown."""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_CAPTIONS = {
    "reliability": "Reliability: on the dashed line a confidence is the share of right answers",
    "risk_coverage": "Risk over coverage: how wrong the answers are if only the surest are given",
    "modality": "Right answers by modality, with 95 % intervals; the number of questions in brackets",
}


def render_page(
    metrics: Mapping[str, Any], rows: Sequence[Prediction], plots: Mapping[str, str], *, pictures: bool = False
) -> str:
    """Return the page.

    Args:
        metrics: the content of `metrics.json`.
        rows: the answers to the data's own questions.
        plots: made by `draw_plots`.
        pictures: show small copies of the pictures beside the worst answers. Off, the page holds no picture.

    Returns:
        HTML.
    """
    model, data = metrics["model"], metrics["data"]
    files = ", ".join(one["file"] for one in data["files"])
    title = f"{model['name']} on {files}"
    drawn = "".join(svg_image(svg, _CAPTIONS[name]) for name, svg in plots.items())
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="meta">Model <code>{escape(str(model["fingerprint"]))}</code> &middot; {data["examples"]} examples, '
        f"{data['images']} images, {data['groups']} patients or images &middot; {escape(metrics['date'])} &middot; "
        f"strategy {escape(str(metrics['protocol']['strategy']))} &middot; {escape(NOT_FOR_CLINICAL_USE)}</p>",
        parts.banner(metrics),
        parts.headline_section(metrics),
        section("Plots", "Confidence is the calibrated one that a reader sees.", f'<div class="plots">{drawn}</div>')
        if drawn
        else "",
        parts.controls_section(metrics),
        parts.comparison_section(metrics),
        parts.trust_section(metrics),
        parts.breakdown_section(metrics),
        parts.fairness_section(metrics),
        parts.pairs_section(metrics),
        parts.robustness_section(metrics),
        _worst(rows, pictures),
        parts.scorers_section(metrics),
        parts.provenance_section(metrics),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _worst(rows: Sequence[Prediction], pictures: bool) -> str:
    wrong = sorted((row for row in rows if row.right is False), key=lambda row: -row.reply.confidence)[:WORST]
    cells = []
    for row in wrong:
        item, reply = row.item, row.reply
        shown = "".join(thumbnail(path) for path in item.images) if pictures else ""
        abstained = f"withheld: {escape(reply.stop)}" if reply.stop else "given"
        cells.append(
            (
                *((shown,) if pictures else ()),
                f"{escape(item.question)}<br><small>{escape(item.id)} &middot; {escape(item.source)}</small>",
                escape(item.truth),
                f'<span class="wrong">{escape(reply.text) or "&ndash;"}</span>',
                f"{100 * reply.confidence:.0f}&thinsp;%<br><small>{abstained}</small>",
            )
        )
    header = (*(("Image",) if pictures else ()), "Question", "True answer", "Answer", "Confidence")
    judged = sum(row.right is not None for row in rows)
    note = (
        f"The {len(wrong)} surest of {sum(row.right is False for row in rows)} wrong answers, of {judged} judged. "
        + ("" if pictures else "Images are left out for privacy; --pictures puts small copies here.")
    )
    return section("Worst answers", note, table(header, cells, right=(len(header) - 1,)))
