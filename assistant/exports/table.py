"""A report as CSV: a heading and one row."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from assistant.conversation import ALL_SECTIONS, NOT_FOR_CLINICAL_USE
from assistant.exports.notices import is_accepted, origin_notice, use_notice
from assistant.exports.source import Source
from assistant.exports.wording import critical_names

COLUMNS = (
    "study", "inputs", "template", *ALL_SECTIONS, "critical", "confidence", "abstained", "evidence", "cautions",
    "model", "fingerprint", "notice",
)  # fmt: skip


def render(record: Mapping[str, Any], source: Source) -> bytes:
    """Write a report as CSV (RFC 4180).

    Args:
        record: as the ledger keeps it.
        source: not needed here.
    Returns:
        UTF-8; a cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    model = record.get("model") or {}
    row = {
        "study": record.get("study", ""),
        "inputs": "; ".join(record.get("inputs", ())),
        "template": (record.get("template") or {}).get("name", ""),
        **{name: record["sections"].get(name, "") for name in ALL_SECTIONS},
        "critical": critical_names(record),
        "confidence": record.get("confidence", ""),
        "abstained": record.get("abstained", ""),
        "evidence": "; ".join(f"[{n}] {one['title']}" for n, one in enumerate(record.get("evidence", ()), start=1)),
        "cautions": " ".join(one for one in record.get("cautions", ()) if one != NOT_FOR_CLINICAL_USE),
        "model": model.get("name", ""),
        "fingerprint": model.get("fingerprint", ""),
        "notice": f"{origin_notice(record)} {use_notice(record)}" if is_accepted(record) else NOT_FOR_CLINICAL_USE,
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerow({name: safe_cell(value) for name, value in row.items()})
    return text.getvalue().encode()


def safe_cell(value: object) -> object:
    """Return a cell that no spreadsheet runs as a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
