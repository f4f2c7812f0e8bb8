"""What a page with headings holds, in order, whatever it is written as: HTML, DOCX and PDF show the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.exports.wording import (
    confidence_phrase,
    critical_names,
    known_before,
    shown_sections,
    support_words,
    told_of_study,
)

REMARKED = ("Critical finding", "Indication", "History", "Confidence")
"""Facts that messages and structured reports carry as remarks; the others stand in fields of their own."""


@dataclass(frozen=True)
class Page:
    """One report, laid out."""

    facts: list[tuple[str, str]]
    sections: list[tuple[str, str]]
    cautions: list[str]
    lists: list[tuple[str, list[str]]]
    """Headings with their points, the cautions among them; none is empty."""
    evidence: list[tuple[str, str, str]]
    """Title, text, source with licence; numbered from 1."""
    model: str


def page(record: Mapping[str, Any]) -> Page:
    """Lay a record out.

    Args:
        record: as the ledger keeps it.
    Returns:
        what the page says, the notices at its head left out: `origin_notice` and `use_notice`.
    """
    facts = []
    if record.get("study"):
        facts.append(("Study", str(record["study"])))
    if named := critical_names(record):
        facts.append(("Critical finding", named))
    facts += told_of_study(record)
    if record.get("priors"):
        facts.append(("Compared with", f"{len(record['priors'])} earlier image(s)"))
    facts += known_before(record)
    if record.get("confidence") is not None:
        facts.append(("Confidence", confidence_phrase(record["confidence"], bool(record.get("abstained")))))
    sections = [(heading, text) for _, heading, text in shown_sections(record)]
    cautions = [str(one) for one in record.get("cautions", ()) if one != NOT_FOR_CLINICAL_USE]
    evidence = [
        (str(one["title"]), " ".join(str(one["text"]).split()), f"{one['source']} ({one['licence']})")
        for one in record.get("evidence", ())
    ]
    points = [
        ("Cautions", cautions),
        ("Sentence by sentence", [f"{one['sentence']} ({support_words(one)})" for one in record.get("grounds", ())]),
        ("Nearest cases", [f"{one['title']}. Source: {one['source']}" for one in record.get("cases", ())]),
    ]
    return Page(facts, sections, cautions, [one for one in points if one[1]], evidence, model_line(record))


def model_line(record: Mapping[str, Any]) -> str:
    """Name the model that wrote the report, "" if the record does not."""
    model = record.get("model")
    return f"Model {model['name']}, fingerprint {model['fingerprint']}." if model else ""
