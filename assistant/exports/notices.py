"""The head of every export: who wrote the report, whether a person stands behind it, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assistant.conversation import NOT_FOR_CLINICAL_USE

AI_NOTICE = "Written by a program (artificial intelligence). Not verified by a person."
ACCEPTED_USE = "Drafted by a research model and accepted by a person; not for clinical use."
"""Stands where `NOT_FOR_CLINICAL_USE` stands in a draft."""


def is_accepted(record: Mapping[str, Any]) -> bool:
    """Tell whether a person has accepted the report: `accepted` holds who, when, and whether she changed it."""
    return bool(record.get("accepted"))


def origin_notice(record: Mapping[str, Any]) -> str:
    """Say who wrote a report, and whether a person stands behind it."""
    accepted = record.get("accepted")
    if not accepted:
        return AI_NOTICE
    edited = "edited and accepted" if accepted.get("edited") else "accepted without a change"
    return f"Drafted by a program (artificial intelligence); {edited} by {accepted['by']} on {accepted['at']}."


def use_notice(record: Mapping[str, Any]) -> str:
    """Say what a report is not for."""
    return ACCEPTED_USE if is_accepted(record) else NOT_FOR_CLINICAL_USE
