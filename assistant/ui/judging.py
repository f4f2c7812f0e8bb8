"""What the page does with what a person says of an answer: a thumb, a reason, a better answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from assistant.errors import AssistantError
from assistant.feedback.recent import Subject, subject_of
from assistant.feedback.records import NOTICE, REASONS, Opinion
from assistant.ui.panels import error_html
from assistant.ui.service import AssistantService
from assistant.ui.session import Session, asker

logger = logging.getLogger(__name__)

VERDICTS = (("Helpful", "up"), ("Not helpful", "down"))
REASON_CHOICES = [(words, name) for name, words in REASONS.items()]
PICTURE_CONSENT = "Keep the pixels of the image too. I have looked: no name is burned into them."
NOTHING_TO_JUDGE = "There is no answer here to judge: it was stopped, failed, or could not be used."

Form = tuple[Any, Any, Any, Any, Any, Any, Any, Any]
"""Group, heading, verdict, reason, correction, comment, consent, and which message it is about."""


@dataclass(frozen=True)
class Judging:
    """The functions behind the form."""

    service: AssistantService

    def open(self, place: int, liked: bool, session: Session) -> Form:
        """Show the form for one answer of this visitor's own.

        Args:
            place: of the message, among those shown.
            liked: which thumb.
            session: the visitor's state.
        Returns:
            The form, empty but for the verdict; a message in its place where there is nothing to judge.
        """
        subject = self.subject(place, session)
        if subject is None:
            return (gr.update(visible=True), error_html(NOTHING_TO_JUDGE), *(gr.skip(),) * 5, -1)
        heading = heading_html(f"About: {_short(subject.asked.text)}")
        reason = gr.update(value=None, visible=not liked)
        correction = gr.update(value="", visible=not liked)
        verdict = "up" if liked else "down"
        return gr.update(visible=True), heading, verdict, reason, correction, "", False, place

    def subject(self, place: int, session: Session) -> Any:
        """Return what a message answers, with its question; None where it answers nothing."""
        if place < 0:
            return None
        state = session.at(place)
        if state.last is None or state.answer is None or len(state.shown) <= place:
            return None
        return subject_of(state.name, state.last, state.answer, state.index)

    def judge(
        self,
        verdict: str,
        reason: str | None,
        correction: str | None,
        comment: str | None,
        consent: bool,
        place: int,
        session: Session,
        request: gr.Request | None = None,
    ) -> tuple[Any, str]:
        """Keep what was said.

        Args:
            verdict: "up" or "down".
            reason: of `REASONS`.
            correction: the better answer; may be empty.
            comment: may be empty.
            consent: whether the pixels may be kept.
            place: which message it is about.
            session: the visitor's state.
            request: says who is signed in.
        Returns:
            The form closed or left open, and what became of it.
        """
        subject = self.subject(place, session)
        if subject is None:
            return gr.skip(), error_html(NOTHING_TO_JUDGE)
        down = verdict == "down"
        said = {
            "verdict": "down" if down else "up",
            "reason": (reason or None) if down else None,
            "comment": comment or "",
            "correction": (correction or "") if down else "",
            "keep_pictures": bool(consent),
        }
        return self.keep(subject, said, request)

    def keep(self, subject: Subject, said: Mapping[str, Any], request: gr.Request | None) -> tuple[Any, str]:
        """Hand an opinion in, and say what became of it.

        Args:
            subject: what it is about.
            said: the fields of `Opinion`; a fault in them is told.
            request: says who is signed in.
        Returns:
            The form closed, or left as it is, and a sentence.
        """
        desk = self.service.feedback
        if desk is None:
            return gr.skip(), error_html("This page takes no feedback (it runs with --feedback none).")
        try:
            made = desk.give(asker(request), subject, Opinion(**said))
        except AssistantError as error:
            return gr.skip(), error_html(str(error))
        except Exception as error:
            logger.exception("feedback could not be kept")
            return gr.skip(), error_html(f"The program failed ({type(error).__name__}); the terminal says where.")
        kept = sum(one.png is not None for one in made.pictures)
        pixels = f" with {kept} image{'s' if kept > 1 else ''}" if kept else ""
        told = f"Thank you. Kept{pixels} as {made.id}; name that id to have it deleted."
        return gr.update(visible=False), thanks_html(told)


def heading_html(text: str) -> str:
    """Return the form's heading, with what is kept and what is not."""
    return f"<h2 class='ma-form-title'>{escape(text)}</h2><p class='ma-empty'>{escape(NOTICE)}</p>"


def thanks_html(text: str) -> str:
    """Return a sentence that a screen reader tells at once."""
    return f"<p class='ma-thanks' role='status'>{escape(text)}</p>"


def _short(text: str, most: int = 90) -> str:
    return text if len(text) <= most else text[: most - 1].rsplit(" ", 1)[0] + " …"
