"""Thumbs on a drafted report, accepted or not: what is wrong with it, and the text as it was edited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.conversation import three_sections
from assistant.feedback.records import MAX_TEXT, corrected_report
from assistant.ui.changes import changed_sections
from assistant.ui.judging import PICTURE_CONSENT, REASON_CHOICES, VERDICTS, Judging, heading_html
from assistant.ui.panels import error_html
from assistant.ui.report_finish import NO_DRAFT, Draft, sections_of
from assistant.ui.service import AssistantService

_HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
ABOUT = "About this draft, accepted or not"
EDITED = "Keep the text as I have edited it, as the better report"

Form = tuple[Any, Any, Any, Any, Any, Any, Any, str]
"""Group, heading, verdict, reason, whether the edited text goes with it, comment, consent, what became of it."""


@dataclass(frozen=True)
class ReportJudging:
    """The functions behind the thumbs."""

    service: AssistantService

    def open(self, liked: bool, draft: Draft | None, technique: str, findings: str, impression: str) -> Form:
        """Show the form.

        Args:
            liked: which thumb.
            draft: None before there is one.
            technique: first section as it stands.
            findings: second section.
            impression: third section.
        Returns:
            The form, empty but for the verdict; a message where there is no draft.
        """
        if draft is None:
            return gr.update(visible=False), "", *(gr.skip(),) * 5, error_html(NO_DRAFT)
        edited = _edited(draft, technique, findings, impression)
        return (
            gr.update(visible=True), heading_html(ABOUT), "up" if liked else "down",
            gr.update(value=None, visible=not liked), gr.update(value=edited, visible=edited), "", False, "",
        )  # fmt: skip

    def judge(
        self,
        verdict: str,
        reason: str | None,
        take: bool,
        comment: str | None,
        consent: bool,
        draft: Draft | None,
        technique: str,
        findings: str,
        impression: str,
        request: gr.Request | None = None,
    ) -> tuple[Any, str]:
        """Keep what was said.

        Args:
            verdict: "up" or "down".
            reason: of `REASONS`.
            take: whether the edited text is the better report.
            comment: may be empty.
            consent: whether the pixels may be kept.
            draft: None before there is one.
            technique: first section as it stands.
            findings: second section.
            impression: third section.
            request: says who is signed in.
        Returns:
            The form closed or left open, and what became of it.
        """
        if draft is None:
            return gr.update(visible=False), error_html(NO_DRAFT)
        edited = take and _edited(draft, technique, findings, impression)
        down = verdict == "down"
        said = {
            "verdict": "down" if down else "up",
            "reason": (reason or None) if down else None,
            "comment": comment or "",
            "correction": corrected_report(sections_of((technique, findings, impression))) if edited else "",
            "accepted": draft.accepted is not None
            and draft.text == tuple(sections_of((technique, findings, impression)).values()),
            "keep_pictures": bool(consent),
        }
        return Judging(self.service).keep(draft.subject(), said, request)


def _edited(draft: Draft, *texts: str) -> bool:
    return bool(changed_sections(three_sections(draft.report.sections), sections_of(texts)))


def build_report_judging(service: AssistantService, draft: gr.State, sections: list[gr.Textbox]) -> None:
    """Put the thumbs, and the form that they open, under a report; none where no feedback is taken.

    Args:
        service: of the page.
        draft: holds the `Draft`.
        sections: the three boxes.
    """
    if service.feedback is None:
        return
    tab = ReportJudging(service)
    with gr.Row(elem_classes="ma-below", elem_id="report-thumbs"):
        gr.HTML("<p class='ma-empty'>Is this draft of use? It need not be accepted to say so.</p>")
        up = gr.Button("Helpful", size="sm", scale=0, min_width=120, elem_id="report-up")
        down = gr.Button("Not helpful", size="sm", scale=0, min_width=140, elem_id="report-down")
    with gr.Column(visible=False, elem_id="report-judging") as group:
        heading = gr.HTML("", elem_classes="ma-padded", label="What is judged")
        verdict = gr.Radio(list(VERDICTS), label="This draft is", elem_id="report-verdict")
        reason = gr.Dropdown(REASON_CHOICES, value=None, label="Why (optional)", elem_id="report-reason")
        take = gr.Checkbox(False, label=EDITED, elem_id="report-edited")
        comment = gr.Textbox("", label="Anything else (optional)", lines=1, max_length=MAX_TEXT)
        consent = gr.Checkbox(False, label=PICTURE_CONSENT, elem_id="report-consent")
        with gr.Row():
            send = gr.Button("Send feedback", variant="primary", size="sm", elem_id="send-report-feedback")
            cancel = gr.Button("Cancel", size="sm")
    told = gr.HTML("", elem_classes="ma-bare", elem_id="report-judged", label="What became of the feedback")
    form = [group, heading, verdict, reason, take, comment, consent, told]
    for button, liked in ((up, True), (down, False)):
        button.click(_opening(tab, liked), [draft, *sections], form, **_HIDDEN)
    verdict.input(lambda value: gr.update(visible=value == "down"), verdict, reason, **_HIDDEN)
    asked = [verdict, reason, take, comment, consent, draft, *sections]
    send.click(tab.judge, asked, [group, told], **_HIDDEN)
    cancel.click(lambda: (gr.update(visible=False), ""), None, [group, told], **_HIDDEN)


def _opening(tab: ReportJudging, liked: bool) -> Any:
    def opened(draft: Draft | None, technique: str, findings: str, impression: str) -> Form:
        return tab.open(liked, draft, technique, findings, impression)

    return opened
