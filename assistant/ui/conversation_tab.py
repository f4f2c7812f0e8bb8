"""The tab in which a person asks about images: upload, streamed answer, and what the answer stands on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.chatbot import ExampleMessage

from assistant.conversation import Answer, Question
from assistant.errors import AssistantError, ImageError
from assistant.exports.wording import confidence_phrase
from assistant.imaging.load import load_picture
from assistant.imaging.picture import Picture
from assistant.ui.examples import Example
from assistant.ui.panels import error_html, grounds_html
from assistant.ui.service import AssistantService
from assistant.ui.session import MAX_UPLOADS, Message, Session, asker, preview_file, read_uploads, user_of

logger = logging.getLogger(__name__)

NOTHING_YET = grounds_html(None, False, (), ())
WAITING = "…"
LOADING = "The model is still loading; the answer follows as soon as it is ready."
DEFAULT_QUESTION = "What does this image show?"

Asked = tuple[dict[str, Any], list[Message], Session, str]
Told = tuple[list[Message], Session, str | dict[str, Any]]


@dataclass(frozen=True)
class Conversation:
    """The functions behind the tab; each returns or yields what the page shows next."""

    service: AssistantService
    examples: Sequence[Example] = ()

    def accept(
        self, message: dict[str, Any] | str | None, session: Session, request: gr.Request | None = None
    ) -> Asked:
        """Take what was typed and uploaded, and show it; the answer is another step.

        Args:
            message: of the multimodal box, `{"text", "files"}`, or plain text.
            session: the visitor's state.
            request: says who is signed in.
        Returns:
            An empty box, the messages, the state with the open question, and the panel.
        """
        text, files = _parts(message)
        if not text and not files:
            return _asked(session, error_html("Type a question, or add an image."))
        try:
            pictures = read_uploads(files)
        except ImageError as error:
            sent = ", ".join([*(Path(path).name for path in files), *([text] if text else [])])
            answer = _assistant(f"**This cannot be used.** {_plain(str(error))}")
            return _asked(session.told([_user([_plain(sent)]), answer]), error_html(str(error)))
        return self._open(text or DEFAULT_QUESTION, pictures, session, request)

    def accept_example(self, number: int, session: Session, request: gr.Request | None = None) -> Asked:
        """Take an example's image and question; like `accept` otherwise.

        Args:
            number: place of the example in the list shown.
            session: the visitor's state.
            request: says who is signed in.
        Returns:
            As `accept` does.
        """
        example = self.examples[number]
        pictures = [load_picture(example.image)] if example.image is not None else []
        return self._open(example.question, pictures, session, request)

    def _open(self, question: str, pictures: Sequence[Picture], session: Session, request: gr.Request | None) -> Asked:
        user = user_of(request)
        images = [{"path": preview_file(one, user), "alt_text": "The image as the model sees it"} for one in pictures]
        asked = session.asked(question, pictures, [_user([*images, _plain(question)]), _assistant(WAITING)])
        return _asked(asked, NOTHING_YET)

    def answer(self, session: Session, request: gr.Request | None = None) -> Iterator[Told]:
        """Stream the answer to the open question.

        Args:
            session: the visitor's state; its last message waits for the text.
            request: says who asks.
        Yields:
            The messages, the state and the panel, as the answer grows.
        """
        if session.question is None:  # what was sent could not be used, and the page says so already
            yield list(session.shown), session, gr.skip()
            return
        if self.service.state == "loading":
            yield _told(session.growing(_assistant(LOADING)), NOTHING_YET)
        question = Question(session.question, session.pictures, session.turns)
        try:
            for text, done in _growing(self.service.stream(question, asker(request))):
                if done is None:
                    yield _told(session.growing(_assistant(_plain(text) or WAITING)), NOTHING_YET)
                    continue
                panel = grounds_html(done.confidence, done.abstained, done.evidence, done.cautions, done.grounds)
                yield _told(session.growing(_assistant(_said(done))).answered(done.text), panel)
        except AssistantError as error:
            yield _unanswered(session, str(error))
        except Exception as error:
            logger.exception("an answer failed")
            yield _unanswered(
                session, f"The program failed ({type(error).__name__}); the terminal says where. Ask again."
            )


def _asked(session: Session, panel: str) -> Asked:
    return {"text": "", "files": []}, list(session.shown), session, panel


def _told(session: Session, panel: str) -> Told:
    return list(session.shown), session, panel


def _unanswered(session: Session, why: str) -> Told:
    message = _assistant(f"**No answer.** {_plain(why)}")
    return _told(session.growing(message).withdrawn(), error_html(why))


def _growing(pieces: Iterator[str | Answer]) -> Iterator[tuple[str, Answer | None]]:
    """Turn a stream of pieces into the text so far, and the finished answer at the end."""
    text = ""
    for piece in pieces:
        if isinstance(piece, Answer):
            yield piece.text, piece
        else:
            text += piece
            yield text, None


def _parts(message: dict[str, Any] | str | None) -> tuple[str, list[str]]:
    """Return the text and the files of what the box sent."""
    if message is None or isinstance(message, str):
        return (message or "").strip(), []
    return str(message.get("text") or "").strip(), [str(path) for path in message.get("files") or ()]


def _said(answer: Answer) -> str:
    """Return an answer as its message reads: the text, then how sure, and how much evidence."""
    count = len(answer.evidence)
    sources = f" · {count} piece{'s' if count > 1 else ''} of evidence" if count else ""
    return f"{_plain(answer.text)}\n\n*Confidence: {confidence_phrase(answer.confidence, answer.abstained)}{sources}*"


def _plain(text: str) -> str:
    """Keep Markdown from reading a model's or a file's text as links, images or HTML."""
    return text.replace("<", "&lt;").replace("![", "!\\[").replace("](", "]\\(")


def _user(parts: Sequence[Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _offer(example: Example) -> ExampleMessage:
    """Return an example as the empty conversation shows it."""
    offer: ExampleMessage = {"text": example.question, "display_text": example.question}
    if example.image is not None:
        offer["icon"] = str(example.image)
    return offer


def build_conversation_tab(service: AssistantService, examples: Sequence[Example]) -> None:
    """Put the tab's controls on the page that is being built, and connect them.

    Args:
        service: answers.
        examples: offered while the conversation is empty.
    """
    tab = Conversation(service, examples)
    session = gr.State(Session(), time_to_live=3600)
    with gr.Row(equal_height=False, elem_classes="ma-columns"):
        with gr.Column(scale=7, min_width=320):
            chatbot = gr.Chatbot(
                label="Conversation",
                show_label=False,
                elem_id="conversation",
                height="calc(100vh - 345px)",
                min_height=380,
                layout="bubble",
                buttons=["copy"],
                feedback_options=None,
                placeholder="### Add an image and ask\nJPEG, PNG, WebP, TIFF or DICOM. Or ask without an image.",
                examples=[_offer(one) for one in examples],
                allow_tags=False,
                allow_file_downloads=False,
            )
            box = gr.MultimodalTextbox(
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
            with gr.Row(elem_classes="ma-below"):
                gr.HTML(
                    f"<p class='ma-empty'>Up to {MAX_UPLOADS} images a question; follow-ups are about the last.</p>"
                )
                fresh = gr.Button("New conversation", size="sm", variant="secondary", scale=0, min_width=160)
        with gr.Column(scale=4, min_width=300):
            panel = gr.HTML(NOTHING_YET, elem_id="grounds", elem_classes="ma-bare", label="What the answer stands on")
    _connect(tab, session, box, chatbot, panel, fresh)


def _connect(
    tab: Conversation,
    session: gr.State,
    box: gr.MultimodalTextbox,
    chatbot: gr.Chatbot,
    panel: gr.HTML,
    fresh: gr.Button,
) -> None:
    """Say what happens when something is sent, an example is clicked, or a new conversation begins."""

    def pick(event: gr.SelectData, state: Session, request: gr.Request) -> Asked:
        return tab.accept_example(event.index, state, request)

    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    shows = [box, chatbot, session, panel]
    steps = (
        box.submit(tab.accept, [box, session], shows, **hidden),
        chatbot.example_select(pick, session, shows, **hidden),
    )
    answering = [
        step.then(tab.answer, session, [chatbot, session, panel], concurrency_id="model", **hidden) for step in steps
    ]
    gr.on(
        [fresh.click, chatbot.clear],
        lambda: ([], Session(), NOTHING_YET),
        None,
        [chatbot, session, panel],
        cancels=answering,
        queue=False,
        **hidden,
    )
