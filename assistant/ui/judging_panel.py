"""The form under the conversation in which a person judges an answer."""

from __future__ import annotations

from typing import Any

import gradio as gr

from assistant.feedback.records import MAX_TEXT
from assistant.ui.judging import PICTURE_CONSENT, REASON_CHOICES, VERDICTS, Judging
from assistant.ui.service import AssistantService
from assistant.ui.session import Session

_HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}


def build_judging(service: AssistantService, chatbot: gr.Chatbot, session: gr.State) -> None:
    """Put the form under the conversation; a thumb under an answer opens it.

    Args:
        service: of the page; one that takes no feedback gets no form, and its conversation no thumbs.
        chatbot: the conversation.
        session: the visitor's state.
    """
    if service.feedback is None:
        return
    tab = Judging(service)
    place = gr.State(-1)
    with gr.Column(visible=False, elem_id="judging") as group:
        heading = gr.HTML("", elem_classes="ma-padded", label="What is judged")
        verdict = gr.Radio(list(VERDICTS), label="This answer is", elem_id="verdict")
        reason = gr.Dropdown(REASON_CHOICES, value=None, label="Why (optional)", elem_id="reason")
        correction = gr.Textbox(
            "", label="A better answer (optional)", lines=2, max_length=MAX_TEXT, elem_id="correction"
        )
        comment = gr.Textbox("", label="Anything else (optional)", lines=1, max_length=MAX_TEXT, elem_id="comment")
        consent = gr.Checkbox(False, label=PICTURE_CONSENT, elem_id="consent")
        with gr.Row():
            send = gr.Button("Send feedback", variant="primary", size="sm", elem_id="send-feedback")
            cancel = gr.Button("Cancel", size="sm", elem_id="cancel-feedback")
    told = gr.HTML("", elem_classes="ma-bare", elem_id="judged", label="What became of the feedback")

    def liked(event: gr.LikeData, state: Session) -> tuple[Any, ...]:
        where = event.index if isinstance(event.index, int) else event.index[0]
        return *tab.open(where, bool(event.liked), state), ""

    def turned(value: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return gr.update(visible=value == "down"), gr.update(visible=value == "down")

    form = [group, heading, verdict, reason, correction, comment, consent, place]
    chatbot.like(liked, session, [*form, told], **_HIDDEN)
    verdict.input(turned, verdict, [reason, correction], **_HIDDEN)
    asked = [verdict, reason, correction, comment, consent, place, session]
    send.click(tab.judge, asked, [group, told], **_HIDDEN)
    cancel.click(lambda: (gr.update(visible=False), ""), None, [group, told], **_HIDDEN)
