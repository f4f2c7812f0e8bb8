"""Reads reports from files, whatever they were written as: records, pages, bundles, plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from assistant.conversation import SECTIONS
from assistant.ehr.fhir import FhirRecord
from assistant.ehr.texts import TextReport
from assistant.errors import DataError
from assistant.exports.wording import EMPTY_SECTION
from assistant.prompts import parse_report

MOST_BYTES = 20_000_000
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def read_reports(paths: Sequence[str]) -> list[TextReport]:
    """Read reports in the order given.

    Args:
        paths: `reports.jsonl` or `.json` records of a run, its Markdown pages, FHIR bundles (`.json`), plain text.
    Returns:
        one or more reports.
    Raises:
        DataError: a file cannot be read, or holds no report.
    """
    found: list[TextReport] = []
    for one in paths:
        path = Path(one).expanduser()
        try:
            if path.stat().st_size > MOST_BYTES:
                raise DataError(f"{one} has more than {MOST_BYTES} bytes. Give reports, one or a few to a file.")
            text = path.read_text("utf-8")
        except OSError as error:
            raise DataError(f"{one} cannot be read ({error.strerror}). Check the path.") from None
        except UnicodeDecodeError:
            raise DataError(f"{one} is no UTF-8 text. Give a report as text, Markdown, JSON or JSON lines.") from None
        inside = list(_parsed(path.suffix.lower(), text, one))
        if not inside:
            raise DataError(f"{one} holds no report: no findings and no impression. Give another file.")
        found += inside
    return found


def _parsed(suffix: str, text: str, name: str) -> Iterator[TextReport]:
    if suffix in (".json", ".jsonl"):
        try:
            whole = [line for line in text.split("\n") if line.strip()] if suffix == ".jsonl" else [text]
            rows = [json.loads(one) for one in whole]
        except ValueError:
            raise DataError(f"{name} is no {'JSON lines' if suffix == '.jsonl' else 'JSON'}. Save it again.") from None
        for row in rows:
            if isinstance(row, dict) and row.get("resourceType") == "Bundle":
                yield from FhirRecord.of_bundle(row).reports()
            elif isinstance(row, dict) and isinstance(row.get("sections"), dict) and not row.get("abstained"):
                yield TextReport({one: str(row["sections"].get(one) or "") for one in SECTIONS})
    else:
        sections = _of_markdown(text) if _HEADING.search(text) else parse_report(text)
        if any(sections.get(one) for one in ("findings", "impression")):
            yield TextReport(sections)


def _of_markdown(text: str) -> dict[str, str]:
    """Return what stands under the headings of a page."""
    parts = _HEADING.split(text)
    under = {heading.strip().lower(): body.strip() for heading, body in zip(parts[1::2], parts[2::2], strict=True)}
    return {name: "" if under.get(name) == EMPTY_SECTION else under.get(name, "") for name in SECTIONS}
