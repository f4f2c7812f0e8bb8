"""Small pieces of HTML for the report page: tables, numbers with a bar, pictures. All text is escaped here."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

THUMBNAIL = 144
"""Longer side of a picture on the page, pixels."""

STYLE = """
:root{--ink:#1f2933;--soft:#52606d;--line:#e4e9ee;--accent:#1b6ca8;--good:#1f7a4d;--bad:#b3261e;--warn:#8a5a00;
--paper:#fff;--shade:#f6f8fa}
*{box-sizing:border-box}
body{margin:0;background:var(--shade);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:0 0 4px}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin-top:16px;
overflow-x:auto}
p.note{color:var(--soft);margin:2px 0 12px;max-width:80ch;font-size:14px}
.meta{color:var(--soft);font-size:13px;margin:0}.meta code{font-size:12px}
.banner{border-left:6px solid var(--good);background:#eef7f1;padding:12px 16px;border-radius:6px;margin-top:16px}
.banner.bad{border-color:var(--bad);background:#fdecea}.banner.warn{border-color:var(--warn);background:#fff6e5}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:10px;margin-top:10px}
.tile{border:1px solid var(--line);border-radius:8px;padding:10px 12px}
.tile b{display:block;font-size:22px;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:12.5px;display:block}
table{border-collapse:collapse;width:100%;margin:6px 0 18px;font-size:14px}
th{text-align:left;color:var(--soft);font-weight:600;border-bottom:2px solid var(--line);padding:6px 10px 6px 0;
font-size:12.5px;vertical-align:bottom}
td{border-bottom:1px solid var(--line);padding:6px 10px 6px 0;vertical-align:top}
td.n,th.n{text-align:right;padding-right:22px;font-variant-numeric:tabular-nums;white-space:nowrap}
td small{color:var(--soft)}td>small.i{white-space:nowrap}
.bar{display:inline-block;width:64px;height:7px;background:var(--line);border-radius:4px;margin-right:8px;
vertical-align:middle;overflow:hidden}.bar i{display:block;height:100%;background:var(--accent)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:12px}
figure{margin:0}figcaption{font-size:13px;color:var(--soft);padding:0 6px}figure img{width:100%;height:auto}
.wrong{color:var(--bad)}td.q{max-width:26ch}td.t{max-width:30ch;overflow-wrap:anywhere}
td img{border-radius:4px;margin-right:4px;background:#000}
pre{background:var(--shade);border:1px solid var(--line);border-radius:6px;padding:10px;overflow-x:auto;
font-size:12.5px;white-space:pre-wrap;overflow-wrap:anywhere}
@media print{body{background:#fff}section{break-inside:avoid}}
"""


def number(estimate: Mapping[str, Any] | None, *, as_percent: bool = True) -> str:
    """Return a value with its interval as escaped HTML; a dash for none."""
    if not estimate or estimate["value"] != estimate["value"]:
        return "&ndash;"
    if as_percent:
        value, low, high = (f"{100 * estimate[name]:.1f}" for name in ("value", "low", "high"))
        return f'{value}&thinsp;% <small class="i">({low} to {high})</small>'
    value, low, high = (f"{estimate[name]:.3f}" for name in ("value", "low", "high"))
    return f'{value} <small class="i">({low} to {high})</small>'


def barred(estimate: Mapping[str, Any] | None) -> str:
    """Return a share as a small bar with its number and interval."""
    if not estimate or estimate["value"] != estimate["value"]:
        return "&ndash;"
    width = max(0.0, min(1.0, float(estimate["value"]))) * 100
    return f'<span class="bar"><i style="width:{width:.0f}%"></i></span>{number(estimate)}'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return a table.

    Args:
        header: plain texts.
        rows: cells that are escaped already.
        right: columns of numbers, counted from 0.

    Returns:
        HTML, or nothing for no rows.
    """
    if not rows:
        return ""

    def mark(place: int) -> str:
        return ' class="n"' if place in right else ""

    head = "".join(f"<th{mark(place)} scope=col>{escape(text)}</th>" for place, text in enumerate(header))
    body = "".join(
        "<tr>" + "".join(f"<td{mark(place)}>{cell}</td>" for place, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def section(title: str, note: str, *content: str) -> str:
    """Return a section, or nothing if all its content is empty."""
    inner = "".join(content)
    return f'<section><h2>{escape(title)}</h2><p class="note">{escape(note)}</p>{inner}</section>' if inner else ""


def svg_image(svg: str, caption: str) -> str:
    """Return a plot as a picture within the page; as an image it can run nothing and fetch nothing."""
    data = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def thumbnail(path: Path) -> str:
    """Return a small copy of a picture within the page."""
    from PIL import Image

    from assistant.imaging.load import load_picture

    image = Image.fromarray(load_picture(path).pixels).convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="" width="{image.width}" height="{image.height}" src="data:image/jpeg;base64,{data}">'
