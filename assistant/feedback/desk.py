"""`Desk`: where page and API hand in what a person says of an answer, and where it is noted that she did."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field

from assistant.conversation import Answer, Question, Report, ReportRequest
from assistant.feedback.address import DEFAULT, address_of
from assistant.feedback.recent import Recent, Subject
from assistant.feedback.records import Feedback, Opinion, feedback_on_answer, feedback_on_report
from assistant.feedback.store import FeedbackStore

Noted = Callable[[str, str, str], None]
"""Told who gave feedback, on which id, and whether on an answer or a report; nothing of its content."""


@dataclass
class Desk:
    """Takes feedback in."""

    store: FeedbackStore
    noted: Noted = lambda who, name, kind: None
    recent: Recent = field(default_factory=Recent)
    """The answers that the API gave lately; the page knows its own."""

    def give(self, who: str, subject: Subject, opinion: Opinion) -> Feedback:
        """Keep what somebody says of an answer of her own.

        Args:
            who: by the name that the audit log has; it is not kept with the feedback.
            subject: what she was answered.
            opinion: what she says.
        Returns:
            What was kept.
        Raises:
            AssistantError: the database cannot be used.
        """
        made = judged(subject, opinion)
        # Noted first: what could not be noted is not kept either.
        self.noted(who, made.id, made.kind)
        self.store.put(made)
        return made


def judged(subject: Subject, opinion: Opinion) -> Feedback:
    """Join an answer or a report with what somebody says of it.

    Args:
        subject: what was asked and answered.
        opinion: on it.
    Returns:
        What may be kept.
    Raises:
        ValueError: a question with a report, or the other way round.
    """
    day = datetime.datetime.now(datetime.UTC).date()
    asked, made = subject.asked, subject.made
    if isinstance(asked, Question) and isinstance(made, Answer):
        return feedback_on_answer(subject.name, asked, made, opinion, day=day, index=subject.index)
    if isinstance(asked, ReportRequest) and isinstance(made, Report):
        return feedback_on_report(subject.name, asked, made, opinion, day=day, index=subject.index)
    raise ValueError("a question belongs to an answer, and a request to a report")


def open_desk(where: str, days: int | None, noted: Noted = lambda who, name, kind: None) -> Desk | None:
    """Open the place where feedback is kept, so that a mistake in its address is told at the start.

    Args:
        where: the value of `--feedback`.
        days: for how long feedback is kept; None keeps it until it is purged.
        noted: of `Desk`.
    Returns:
        None where none is taken. The usual file is opened, and made, when the first feedback comes.
    Raises:
        AssistantError: it cannot be opened.
    """
    address = address_of(where)
    if address is None:
        return None
    store = FeedbackStore(address)
    if where != DEFAULT:
        store.open()
    if days is not None and store.exists:
        store.purge(before=datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=days))
    return Desk(store, noted)
