"""A report as a Word document, by python-docx."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

from assistant.exports.layout import page
from assistant.exports.notices import origin_notice, use_notice
from assistant.exports.source import Source
from assistant.exports.wording import title_of

_WIDTH_CM = 12
_NO_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def render(record: Mapping[str, Any], source: Source) -> bytes:
    """Write a report as DOCX.

    Args:
        record: as the ledger keeps it.
        source: for the pictures.
    Returns:
        the file.
    """
    import docx
    from docx.shared import Cm

    made = page(record)
    document = docx.Document()
    document.core_properties.author, document.core_properties.title = "medassist", title_of(record)
    document.core_properties.comments = use_notice(record)
    document.add_heading(title_of(record), level=0)
    document.add_paragraph().add_run(_plain(f"{origin_notice(record)} {use_notice(record)}")).bold = True
    for name, value in made.facts:
        document.add_paragraph(_plain(f"{name}: {value}"))
    for heading, text in made.sections:
        document.add_heading(heading, level=1)
        document.add_paragraph(_plain(text))
    for png in source.pictures():
        document.add_picture(io.BytesIO(png), width=Cm(_WIDTH_CM))
    for heading, points in made.lists:
        document.add_heading(heading, level=1)
        for point in points:
            document.add_paragraph(_plain(point), style="List Bullet")
    if made.evidence:
        document.add_heading("Evidence", level=1)
        for title, text, origin in made.evidence:
            document.add_paragraph(_plain(f"{title}. {text} Source: {origin}"), style="List Number")
    document.add_paragraph(_plain(made.model))
    document.sections[0].footer.paragraphs[0].text = use_notice(record)
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def _plain(text: str) -> str:
    """Return text without the control characters that XML cannot hold."""
    return _NO_XML.sub(" ", text)
