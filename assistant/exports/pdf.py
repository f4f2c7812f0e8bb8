"""A report as PDF, by ReportLab: text that can be searched, the pictures, the evidence, the notice on every page."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from assistant.exports.layout import page
from assistant.exports.notices import origin_notice, use_notice
from assistant.exports.source import Source
from assistant.exports.wording import title_of

_WIDTH_CM, _HEIGHT_CM = 14.0, 11.0


def render(record: Mapping[str, Any], source: Source) -> bytes:
    """Write a report as PDF.

    Args:
        record: as the ledger keeps it.
        source: for the pictures.
    Returns:
        the file. The standard fonts know Western European letters; what they do not know becomes a question mark.
    """
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.lib.units import cm
    from reportlab.platypus import Image, Paragraph, SimpleDocTemplate, Spacer

    made, styles = page(record), getSampleStyleSheet()
    story: list[Any] = [
        Paragraph(title_of(record), styles["Title"]),
        Paragraph(f"<b>{_markup(origin_notice(record))} {_markup(use_notice(record))}</b>", styles["BodyText"]),
        *(Paragraph(_markup(f"{name}: {value}"), styles["BodyText"]) for name, value in made.facts),
    ]
    for heading, text in made.sections:
        story += [Paragraph(heading, styles["Heading2"]), Paragraph(_markup(text), styles["BodyText"])]
    for png in source.pictures():
        picture = Image(io.BytesIO(png))
        scale = min(_WIDTH_CM * cm / picture.imageWidth, _HEIGHT_CM * cm / picture.imageHeight)
        picture.drawWidth, picture.drawHeight = picture.imageWidth * scale, picture.imageHeight * scale
        story += [Spacer(1, 0.3 * cm), picture]
    for heading, points in made.lists:
        story.append(Paragraph(heading, styles["Heading2"]))
        story += [Paragraph(_markup(one), styles["BodyText"], bulletText="-") for one in points]
    if made.evidence:
        story.append(Paragraph("Evidence", styles["Heading2"]))
    for number, (title, text, origin) in enumerate(made.evidence, start=1):
        line = f"[{number}] <b>{_markup(title)}.</b> {_markup(text)} <i>{_markup(origin)}</i>"
        story.append(Paragraph(line, styles["BodyText"]))
    story.append(Paragraph(_markup(made.model), styles["BodyText"]))
    stream = io.BytesIO()
    use = use_notice(record)
    document = SimpleDocTemplate(stream, pagesize=A4, title=title_of(record), author="medassist", subject=use)

    def footer(canvas: Any, document: Any) -> None:
        _footer(canvas, document, use)

    document.build(story, onFirstPage=footer, onLaterPages=footer)
    return stream.getvalue()


def _markup(text: str) -> str:
    """Return text for a ReportLab paragraph, in the letters that its standard fonts have."""
    return escape(text.encode("cp1252", "replace").decode("cp1252"))


def _footer(canvas: Any, document: Any, notice: str) -> None:
    """Put the notice and the page's number below each page."""
    canvas.saveState()
    canvas.setFont("Helvetica", 7)
    canvas.drawString(document.leftMargin, 28, notice)
    canvas.drawRightString(document.pagesize[0] - document.rightMargin, 28, str(canvas.getPageNumber()))
    canvas.restoreState()
