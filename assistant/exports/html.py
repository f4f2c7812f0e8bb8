"""A report as one HTML file: nothing in it is fetched from anywhere and nothing in it runs."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from assistant.exports.layout import page
from assistant.exports.notices import origin_notice, use_notice
from assistant.exports.source import Source
from assistant.exports.wording import title_of

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    ".notice{border-left:4px solid #b00;background:#fff4f4;padding:.5rem 1rem}"
    "img{max-width:100%;height:auto;margin:.5rem 0}dt{font-weight:600}dd{margin:0 0 .5rem}small{color:#555}"
)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render(record: Mapping[str, Any], source: Source) -> bytes:
    """Write a report as HTML.

    Args:
        record: as the ledger keeps it.
        source: for the pictures.
    Returns:
        UTF-8.
    """
    made, title = page(record), title_of(record)
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{title}</h1>",
        f'<p class="notice" role="note">{escape(origin_notice(record))}<br>{escape(use_notice(record))}</p>',
        "<dl>",
        *(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in made.facts),
        "</dl>",
    ]
    for heading, text in made.sections:
        lines += [f"<h2>{escape(heading)}</h2>", f"<p>{escape(text)}</p>"]
    for number, png in enumerate(source.pictures(), start=1):
        data = base64.b64encode(png).decode()
        lines.append(f'<img alt="Image {number} of the study" src="data:image/png;base64,{data}">')
    for heading, points in made.lists:
        lines += [f"<h2>{heading}</h2>", "<ul>", *(f"<li>{escape(one)}</li>" for one in points), "</ul>"]
    if made.evidence:
        lines += ["<h2>Evidence</h2>", "<ol>"]
        for name, text, origin in made.evidence:
            lines.append(f"<li><strong>{escape(name)}.</strong> {escape(text)}<br><small>{escape(origin)}</small></li>")
        lines.append("</ol>")
    lines += [f"<footer><small>{escape(made.model)}</small></footer>", "</main></body></html>", ""]
    return "\n".join(lines).encode()
