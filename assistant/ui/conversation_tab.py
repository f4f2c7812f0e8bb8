"""The tab in which a person asks about images: upload, streamed answer, and what the answer stands on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components.chatbot import ExampleMessage

from assistant.exports.talk import talk_json, talk_markdown
from assistant.ui.examples import Example
from assistant.ui.judging_panel import build_judging
from assistant.ui.looking import Looking
from assistant.ui.looking_panel import Beside, build_heat, build_region, build_views, build_wishes
from assistant.ui.region import Region
from assistant.ui.service import AssistantService
from assistant.ui.session import MAX_UPLOADS, Session, View, Wishes
from assistant.ui.talking import NOTHING_YET, Asked, Conversation, Told

HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
DOWNLOAD = """(text) => {
  if (!text) { return; }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'KIND'}));
  link.download = 'NAME';
  link.click();
  URL.revokeObjectURL(link.href);
}"""


def build_conversation_tab(service: AssistantService, examples: Sequence[Example]) -> None:
    """Put the tab's controls on the page that is being built, and connect them.

    Args:
        service: answers.
        examples: offered while the conversation is empty.
    """
    tab, looking = Conversation(service, examples), Looking(service)
    session = gr.State(Session(), time_to_live=3600)
    with gr.Row(equal_height=False, elem_classes="ma-columns"):
        with gr.Column(scale=7, min_width=320):
            chatbot, box = _chatbot(examples), _box()
            build_judging(service, chatbot, session)
            view = build_views(looking, box)
            with gr.Row(elem_classes="ma-below"):
                gr.HTML(
                    f"<p class='ma-empty'>Up to {MAX_UPLOADS} images a question; follow-ups are about the last.</p>"
                )
                stop = gr.Button("Stop", size="sm", variant="secondary", scale=0, min_width=72, elem_id="stop")
                fresh = gr.Button("New conversation", size="sm", variant="secondary", scale=0, min_width=160)
            beside, wishes = build_region(looking, session), build_wishes()
            with gr.Row(elem_classes="ma-below"):
                gr.HTML("<p class='ma-empty'>Keep this conversation, without names or files:</p>")
                markdown = gr.Button("Markdown", size="sm", scale=0, min_width=96, elem_id="save-markdown")
                data = gr.Button("JSON", size="sm", scale=0, min_width=72, elem_id="save-json")
        with gr.Column(scale=4, min_width=300):
            panel = gr.HTML(NOTHING_YET, elem_id="grounds", elem_classes="ma-bare", label="What the answer stands on")
            build_heat(looking, session, panel)
    shows = [box, chatbot, session, panel]
    _connect(tab, shows, view, beside, wishes, stop, fresh)
    _export(session, markdown, talk_markdown, "text/markdown", "conversation.md")
    _export(session, data, talk_json, "application/json", "conversation.json")


def _chatbot(examples: Sequence[Example]) -> gr.Chatbot:
    return gr.Chatbot(
        label="Conversation",
        show_label=False,
        elem_id="conversation",
        height="calc(100vh - 385px)",
        min_height=380,
        layout="bubble",
        buttons=["copy"],
        feedback_options=("Like", "Dislike"),
        placeholder="## Add an image and ask\nJPEG, PNG, WebP, TIFF or DICOM. Or ask without an image.",
        examples=[_offer(one) for one in examples],
        allow_tags=False,
        allow_file_downloads=False,
    )


def _box() -> gr.MultimodalTextbox:
    return gr.MultimodalTextbox(
        label="Question and images",
        show_label=False,
        placeholder="Ask about the image … Enter sends",
        file_types=["image", ".dcm", ".dicom", ".tif", ".tiff", ".webp"],
        file_count="multiple",
        elem_id="question",
        sources=["upload"],
        autofocus=True,
        max_plain_text_length=4000,
    )


def _offer(example: Example) -> ExampleMessage:
    """Return an example as the empty conversation shows it."""
    offer: ExampleMessage = {"text": example.question, "display_text": example.question}
    if example.image is not None:
        offer["icon"] = str(example.image)
    return offer


def _place(index: int | tuple[int, int] | list[int]) -> int:
    """Return which message an event is about; a message of several parts comes with the part's number too."""
    return index if isinstance(index, int) else index[0]


def _connect(
    tab: Conversation,
    shows: list[Any],
    view: gr.State,
    beside: Beside,
    wishes: gr.State,
    stop: gr.Button,
    fresh: gr.Button,
) -> None:
    """Say what happens when something is sent, clicked, stopped or taken back."""
    box, chatbot, session, panel = shows

    def send(
        message: dict[str, Any], state: Session, view: View, region: Region, wished: Wishes, request: gr.Request
    ) -> Asked:
        return tab.accept(message, state, request, view, region, wished)

    def follow(event: gr.SelectData, state: Session, region: Region, wished: Wishes, request: gr.Request) -> Asked:
        return tab.accept(str(event.value), state, request, None, region, wished)

    def pick(event: gr.SelectData, state: Session, request: gr.Request) -> Asked:
        return tab.accept_example(event.index, state, request)

    def retry(event: gr.RetryData, state: Session) -> Asked:
        return tab.again(_place(event.index), state)

    def undo(event: gr.UndoData, state: Session) -> Asked:
        return tab.undo(_place(event.index), state)

    steps = (
        box.submit(send, [box, session, view, beside.region, wishes], shows, **HIDDEN),
        chatbot.option_select(follow, [session, beside.region, wishes], shows, **HIDDEN),
        chatbot.example_select(pick, session, shows, **HIDDEN),
        chatbot.retry(retry, session, shows, **HIDDEN),
    )
    drawn = [step.then(*beside.renew, **HIDDEN) for step in steps]
    told = [chatbot, session, panel]
    answering = [step.then(tab.answer, session, told, concurrency_id="model", **HIDDEN) for step in drawn]
    chatbot.undo(undo, session, shows, cancels=answering, **HIDDEN).then(*beside.renew, **HIDDEN)

    def leave(state: Session) -> Told:
        return tab.stop(state)

    stop.click(leave, session, told, cancels=answering, queue=False, **HIDDEN)
    gr.on(
        [fresh.click, chatbot.clear],
        lambda: ([], Session(), NOTHING_YET),
        None,
        told,
        cancels=answering,
        queue=False,
        **HIDDEN,
    ).then(*beside.renew, **HIDDEN)


def _export(session: gr.State, button: gr.Button, write: Any, kind: str, name: str) -> None:
    """Let a button hand the conversation to the browser as a file; nothing of it is written here."""
    text = gr.Textbox(visible=False)

    def written(state: Session) -> str:
        content: str = write(state.exchanges())
        if not content:
            raise gr.Error("Nothing has been answered yet.", print_exception=False)
        return content

    script = DOWNLOAD.replace("KIND", kind).replace("NAME", name)
    # Queued: the library shows an error of what is not queued to nobody.
    button.click(written, session, text, **HIDDEN).success(None, text, None, js=script, **HIDDEN)
