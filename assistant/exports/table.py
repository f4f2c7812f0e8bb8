"""A report as CSV: a heading and one row."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from assistant.conversation import NOT_FOR_CLINICAL_USE, SECTIONS
from assistant.exports.source import Source

COLUMNS = (
    "study", "inputs", *SECTIONS, "confidence", "abstained", "evidence", "cautions", "model", "fingerprint", "notice",
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
        **{name: record["sections"].get(name, "") for name in SECTIONS},
        "confidence": record.get("confidence", ""),
        "abstained": record.get("abstained", ""),
        "evidence": "; ".join(f"[{n}] {one['title']}" for n, one in enumerate(record.get("evidence", ()), start=1)),
        "cautions": " ".join(one for one in record.get("cautions", ()) if one != NOT_FOR_CLINICAL_USE),
        "model": model.get("name", ""),
        "fingerprint": model.get("fingerprint", ""),
        "notice": NOT_FOR_CLINICAL_USE,
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerow({name: _safe(value) for name, value in row.items()})
    return text.getvalue().encode()


def _safe(value: object) -> object:
    """Keep a spreadsheet from running a cell."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
