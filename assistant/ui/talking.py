"""What the page does when a person asks, stops, asks again, edits or takes back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.conversation import Answer
from assistant.errors import AssistantError, ImageError
from assistant.exports.wording import confidence_phrase
from assistant.imaging.load import load_picture
from assistant.imaging.picture import Picture
from assistant.ui.examples import Example
from assistant.ui.followups import followups
from assistant.ui.panels import error_html, grounds_html
from assistant.ui.region import Region, crop
from assistant.ui.service import AssistantService
from assistant.ui.session import Message, Session, View, Wishes, asker, preview_file, read_uploads, user_of

logger = logging.getLogger(__name__)

NOTHING_YET = grounds_html(None, False, (), ())
WAITING = "…"
LOADING = "The model is still loading; the answer follows as soon as it is ready."
DEFAULT_QUESTION = "What does this image show?"

Asked = tuple[dict[str, Any], list[Message], Session, str]
Told = tuple[list[Message], Session, str | dict[str, Any]]


@dataclass(frozen=True)
class Conversation:
    """What happens to one visitor's conversation; each function returns or yields what the page shows next."""

    service: AssistantService
    examples: Sequence[Example] = ()

    def accept(
        self,
        message: dict[str, Any] | str | None,
        session: Session,
        request: gr.Request | None = None,
        view: View | None = None,
        region: Region | None = None,
        wishes: Wishes | None = None,
    ) -> Asked:
        """Take what was typed and uploaded, and show it; the answer is another step.

        Args:
            message: of the multimodal box, `{"text", "files"}`, or plain text.
            session: the visitor's state.
            request: says who is signed in.
            view: frame and window of what was uploaded.
            region: of the picture under discussion; it does not count for new ones.
            wishes: how it is to be answered; those of before if None.
        Returns:
            An empty box, the messages, the state with the open question, and the panel.
        """
        text, files = _parts(message)
        if not text and not files:
            return _asked(session, error_html("Type a question, or add an image."))
        try:
            pictures = read_uploads(files, view)
        except ImageError as error:
            sent = ", ".join([*(Path(path).name for path in files), *([text] if text else [])])
            answer = _assistant(f"**This cannot be used.** {_plain(str(error))}")
            return _asked(session.told([_user([_plain(sent)]), answer]), error_html(str(error)))
        return self._open(text or DEFAULT_QUESTION, pictures, session, request, region, wishes)

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

    def _open(
        self,
        question: str,
        pictures: Sequence[Picture],
        session: Session,
        request: gr.Request | None,
        region: Region | None = None,
        wishes: Wishes | None = None,
    ) -> Asked:
        part, pictures = None, pictures or session.kept
        if region is not None and region.whole and session.pictures and not pictures:
            part = crop(session.pictures[-1], region)
        user = user_of(request)
        images = [_image(one, "The image as the model sees it", user) for one in pictures]
        if part is not None:
            images.append(_image(part, "The region that the question is about", user))
        shown = [_user([*images, _plain(question)]), _assistant(WAITING)]
        return _asked(session.asked(question, pictures, shown, part, wishes), NOTHING_YET)

    def again(self, place: int, session: Session) -> Asked:
        """Ask a question once more; what came after it is taken back.

        Args:
            place: of its message, or its answer's, among those shown.
            session: the visitor's state.
        Returns:
            As `accept` does.
        """
        state = session.at(place)
        before = state.earlier
        if before is None or not state.text:
            panel = error_html("This cannot be asked again: type the question, and add the images once more.")
            return _asked(session, panel)
        shown = [state.shown[len(before.shown)], _assistant(WAITING)]
        return _asked(before.asked(state.text, state.fresh, shown, state.crop, state.wishes), NOTHING_YET)

    def undo(self, place: int, session: Session) -> Asked:
        """Take a question and all that came after it back into the box, to be edited; its images stay with it.

        Args:
            place: of its message, or its answer's, among those shown.
            session: the visitor's state.
        Returns:
            As `accept` does.
        """
        state = session.at(place)
        before = replace(state.earlier or Session(), kept=state.fresh)
        return {"text": state.text, "files": []}, list(before.shown), before, panel_of(before)

    def stop(self, session: Session) -> Told:
        """Leave the answer that is being written as it stands; it counts for nothing that follows.

        Args:
            session: the visitor's state.
        Returns:
            The messages, the state and the panel.
        """
        if session.question is None:
            return list(session.shown), session, gr.skip()
        written = str(session.shown[-1]["content"])
        kept = "" if written in (WAITING, LOADING) else f"{written}\n\n"
        return _told(session.growing(_assistant(f"{kept}*Stopped.*")).withdrawn(), NOTHING_YET)

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
        try:
            for text, done in _growing(self.service.stream(session.put(), asker(request))):
                if done is None:
                    yield _told(session.growing(_assistant(_plain(text) or WAITING)), NOTHING_YET)
                    continue
                after = session.answered(done)
                message = {**_assistant(_said(done)), "options": [{"value": one} for one in followups(after)]}
                yield _told(after.growing(message), panel_of(after))
        except AssistantError as error:
            yield _unanswered(session, str(error))
        except Exception as error:
            logger.exception("an answer failed")
            yield _unanswered(
                session, f"The program failed ({type(error).__name__}); the terminal says where. Ask again."
            )


def panel_of(session: Session) -> str:
    """Return what the last answer stands on, as the panel shows it."""
    done = session.answer
    if done is None:
        return NOTHING_YET
    return grounds_html(done.confidence, done.abstained, done.evidence, done.cautions, done.grounds)


def _image(picture: Picture, alt: str, user: str | None) -> dict[str, str]:
    return {"path": preview_file(picture, user), "alt_text": alt}


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
