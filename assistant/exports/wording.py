"""Confidence in words: the one scale that the command line, the page and the exports share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from assistant.conversation import ALL_SECTIONS, SECTIONS

EMPTY_SECTION = "Nothing drafted."

_STEPS: tuple[tuple[float, str], ...] = ((0.9, "high"), (0.7, "fairly high"), (0.5, "moderate"), (0.3, "low"))


def confidence_words(confidence: float) -> str:
    """Return how sure the assistant is, in words.

    Args:
        confidence: calibrated probability in [0, 1].
    Returns:
        One of "high", "fairly high", "moderate", "low", "very low".
    """
    return next((words for least, words in _STEPS if confidence >= least), "very low")


def confidence_phrase(confidence: float, abstained: bool) -> str:
    """Return words and percentage, such as "high (93 %)", and say so when the assistant abstained."""
    phrase = f"{confidence_words(confidence)} ({round(100 * confidence)} %)"
    return f"{phrase}, so it gives no answer of its own" if abstained else phrase


def shown_sections(record: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the sections of a report as they are shown.

    Args:
        record: as the ledger keeps it.
    Returns:
        Name, heading and text of each, in order; the comparison only where the report has one.
    """
    headings = (record.get("template") or {}).get("headings", {})
    texts = record["sections"]
    return [
        (name, headings.get(name) or name.capitalize(), texts.get(name) or EMPTY_SECTION)
        for name in ALL_SECTIONS
        if name in SECTIONS or texts.get(name)
    ]


def title_of(record: Mapping[str, Any]) -> str:
    """Return the head of a report, such as "Draft report: Chest X-ray"; an accepted one is no draft."""
    title = (record.get("template") or {}).get("title")
    what = "Report accepted by a person" if record.get("accepted") else "Draft report"
    return f"{what}: {title}" if title else what


def critical_names(record: Mapping[str, Any]) -> str:
    """Return the critical findings of a report, "" if it states none."""
    found = record.get("critical", ())
    return ", ".join(f"possible {one['finding']}" if one.get("possible") else str(one["finding"]) for one in found)


def told_of_study(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return indication and history as they were given with the study, scrubbed; none where none were."""
    return [(name.capitalize(), str(record[name])) for name in ("indication", "history") if record.get(name)]


def plain_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(text.split()))


def support_words(ground: Mapping[str, Any]) -> str:
    """Return what a sentence stands on, such as "supported by [1] (0.82)".

    Args:
        ground: the JSON form of a `Ground`.
    Returns:
        A short phrase.
    """
    if not ground["supported"] and ground.get("cited"):
        cited = ", ".join(map(str, ground["cited"]))
        return f"[{cited}] is on the subject, but does not say all of it"
    if not ground["supported"]:
        return "not supported by the evidence"
    numbers = ", ".join(map(str, ground["evidence"]))
    return f"supported by [{numbers}] ({ground['score']:.2f})"


def known_before(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a record knew before the study: earlier reports by persons."""
    clinical = record.get("clinical") or {}
    facts = []
    for one in clinical.get("earlier", ()):
        days = one.get("days_before")
        when = f"{days} day(s) before" if days is not None else "before"
        text = one.get("impression") or one.get("findings") or ""
        facts.append((f"Earlier report, {when}", " ".join(f"{one.get('title', '')}: {text}".strip(": ").split())))
    return facts
