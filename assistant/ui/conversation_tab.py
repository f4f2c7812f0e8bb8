"""The tab in which a person asks about images: upload, streamed answer, and what the answer stands on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import gradio as gr
from gradio.components.chatbot import ExampleMessage

from assistant.exports.talk import talk_json, talk_markdown
from assistant.imaging.picture import Picture
from assistant.slice_note import SliceNote
from assistant.ui.controls import Controls, inputs_of, read_all
from assistant.ui.examples import Example
from assistant.ui.judging_panel import build_judging
from assistant.ui.looking import Looking
from assistant.ui.looking_panel import Beside, build_heat, build_region, build_views, build_wishes
from assistant.ui.models_panel import Choice
from assistant.ui.service import AssistantService
from assistant.ui.session import MAX_UPLOADS, Session
from assistant.ui.talking import NOTHING_YET, Asked, Conversation, Told
from assistant.ui.viewer_panel import Viewer, build_viewer

HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
NEVER_LEFT_OUT: dict[str, Any] = {**HIDDEN, "trigger_mode": "multiple"}
"""Of a step after another. Without it the page's library leaves a step out while the same one of before is running."""
DOWNLOAD = """(text) => {
  if (!text) { return; }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'KIND'}));
  link.download = 'NAME';
  link.click();
  URL.revokeObjectURL(link.href);
}"""


def build_conversation_tab(service: AssistantService, examples: Sequence[Example], choice: Choice) -> None:
    """Put the tab's controls on the page that is being built, and connect them.

    Args:
        service: answers.
        examples: offered while the conversation is empty.
        choice: the model that the visitor has chosen.
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
                    f"<p class='ma-empty'>Up to {MAX_UPLOADS} images or volumes a question; follow-ups are about "
                    "the last. All DICOM files of a series make one volume, as a NIfTI file does.</p>"
                )
                stop = gr.Button("Stop", size="sm", variant="secondary", scale=0, min_width=72, elem_id="stop")
                fresh = gr.Button("New conversation", size="sm", variant="secondary", scale=0, min_width=160)
            aside = gr.Column()
            wishes = build_wishes()
            with gr.Row(elem_classes="ma-below"):
                gr.HTML("<p class='ma-empty'>Keep this conversation, without names or files:</p>")
                markdown = gr.Button("Markdown", size="sm", scale=0, min_width=96, elem_id="save-markdown")
                data = gr.Button("JSON", size="sm", scale=0, min_width=72, elem_id="save-json")
        with gr.Column(scale=4, min_width=300):
            viewer = build_viewer(session, seen_in, "chat", asks=True)
            panel = gr.HTML(NOTHING_YET, elem_id="grounds", elem_classes="ma-bare", label="What the answer stands on")
            build_heat(looking, session, panel)
        with aside:
            beside = build_region(looking, session, viewer)
    shows = [box, chatbot, session, panel]
    _connect(tab, shows, view, beside, (wishes, choice), stop, fresh, viewer)
    _export(session, markdown, talk_markdown, "text/markdown", "conversation.md")
    _export(session, data, talk_json, "application/json", "conversation.json")


def seen_in(session: Session) -> tuple[Sequence[Picture], Sequence[SliceNote]]:
    """Return the pictures under discussion, and the slices that the last answer rests on."""
    return session.pictures, session.answer.slices if session.answer is not None else ()


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
        editable="user",
        # In one bubble with a picture the page's library lets no text be edited.
        group_consecutive_messages=False,
        placeholder="## Add an image and ask\nJPEG, PNG, WebP, TIFF, DICOM or NIfTI. Or ask without an image.",
        examples=[_offer(one) for one in examples],
        allow_tags=False,
        allow_file_downloads=False,
    )


def _box() -> gr.MultimodalTextbox:
    return gr.MultimodalTextbox(
        label="Question and images",
        show_label=False,
        placeholder="Ask about the image … Enter sends",
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


def _asking(
    tab: Conversation, shows: list[Any], view: Controls, beside: Beside, wishes: Controls, viewer: Viewer
) -> tuple[Any, ...]:
    """Connect all that asks a question; returns the events after which it is open."""
    box, chatbot, session, _ = shows

    following = [viewer.looked, Controls((beside.region,), lambda region: region), wishes]
    sending = [*following, view]

    def send(request: gr.Request, message: dict[str, Any], state: Session, *values: Any) -> Asked:
        looked, region, wished, uploaded = read_all(sending, values)
        how = uploaded if message and message.get("files") else looked
        return tab.accept(message, state, request, how, region, wished)

    def follow(event: gr.SelectData, request: gr.Request, state: Session, *values: Any) -> Asked:
        looked, region, wished = read_all(following, values)
        return tab.accept(str(event.value), state, request, looked, region, wished)

    def pick(event: gr.SelectData, state: Session, request: gr.Request) -> Asked:
        return tab.accept_example(event.index, state, request)

    def retry(event: gr.RetryData, state: Session) -> Asked:
        return tab.again(_place(event.index), state)

    def edit(event: gr.EditData, state: Session) -> Asked:
        return tab.again(_place(event.index), state, str(event.value))

    return (
        box.submit(send, [box, session, *inputs_of(sending)], shows, **HIDDEN),
        chatbot.option_select(follow, [session, *inputs_of(following)], shows, **HIDDEN),
        chatbot.example_select(pick, session, shows, **HIDDEN),
        chatbot.retry(retry, session, shows, **HIDDEN),
        chatbot.edit(edit, session, shows, **HIDDEN),
    )


def _connect(
    tab: Conversation,
    shows: list[Any],
    view: Controls,
    beside: Beside,
    chosen: tuple[Controls, Choice],
    stop: gr.Button,
    fresh: gr.Button,
    viewer: Viewer,
) -> None:
    """Say what happens when something is sent, clicked, stopped or taken back."""
    _, chatbot, session, panel = shows
    wishes, choice = chosen
    steps = _asking(tab, shows, view, beside, wishes, viewer)

    def undo(event: gr.UndoData, state: Session) -> Asked:
        return tab.undo(_place(event.index), state)

    # Where nothing is asked, as the answer before is still being written, nothing follows. The answer's first words do
    # not wait until the pictures are drawn.
    told = [chatbot, session, panel]
    answering = _answer(tab, steps, session, told, choice)
    for step in steps:
        step.success(*viewer.renew, **NEVER_LEFT_OUT).then(*beside.renew, **NEVER_LEFT_OUT)
    for step in answering:  # the slice that the answer rests on is shown, and may be drawn on
        step.then(*viewer.renew, **NEVER_LEFT_OUT).then(*beside.renew, **NEVER_LEFT_OUT)
    undone = chatbot.undo(undo, session, shows, **HIDDEN)
    undone.success(*viewer.renew, **HIDDEN).then(*beside.renew, **HIDDEN)

    renew = (viewer.renew, beside.renew)
    _leave(tab, chatbot, told, answering, (stop, fresh), renew)


def _leave(
    tab: Conversation, chatbot: gr.Chatbot, told: list[Any], answering: list[Any], buttons: tuple[gr.Button, gr.Button],
    renew: tuple[Any, Any],
) -> None:  # fmt: skip
    """Say what ends an answer, and what ends a conversation."""
    session, (stop, fresh) = told[1], buttons

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
    ).then(*renew[0], **HIDDEN).then(*renew[1], **HIDDEN)


def _answer(tab: Conversation, asked: Iterable[Any], session: gr.State, told: list[Any], choice: Choice) -> list[Any]:
    """Say what follows a question: the chosen model is loaded where it is not, and answers; returns those events."""

    def answer(state: Session, model: str, request: gr.Request) -> Iterator[Told]:
        yield from tab.answer(state, request, model)

    if choice.wanted is not None:
        asked = [step.then(**choice.wanted) for step in asked]
    how = {"concurrency_id": "model", **NEVER_LEFT_OUT}
    answering = [step.then(answer, [session, choice.model], told, **how) for step in asked]
    if choice.wanted is not None:
        for step in answering:
            step.then(**choice.wanted)
    return answering


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
