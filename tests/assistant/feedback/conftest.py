"""Feedback in a real SQLite file."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.feedback.address import address_of
from assistant.feedback.records import Feedback
from assistant.feedback.store import FeedbackStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeedbackStore]:
    """A store whose file is not there yet."""
    address = address_of(str(tmp_path / "state" / "feedback.sqlite"))
    assert address is not None
    made = FeedbackStore(address)
    yield made
    made.close()


@pytest.fixture
def word() -> Callable[..., Feedback]:
    """Return a function that makes a piece of feedback."""

    def make(name: str = "a", **changes: Any) -> Feedback:
        values = {
            "id": name, "day": datetime.date(2026, 11, 2), "kind": "answer", "verdict": "down",
            "question": "What is seen?", "answer": "A nodule.", "correction": "A cyst.", "model": "feed",
        }  # fmt: skip
        return Feedback(**{**values, **changes})

    return make
