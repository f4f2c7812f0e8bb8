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
from assistant.shelf import MAIN
from assistant.ui.examples import Example
from assistant.ui.followups import followups
from assistant.ui.models import named
from assistant.ui.panels import error_html, grounds_html
from assistant.ui.region import Region, looked_at_in
from assistant.ui.service import AssistantService
from assistant.ui.session import Message, Session, View, Wishes, asker, preview_file, read_uploads, user_of
from assistant.ui.volumes import faces, in_window

logger = logging.getLogger(__name__)

NOTHING_YET = grounds_html(None, False, (), ())
WAITING = "…"
BUSY = "An answer is still being written. Wait for its end, or press Stop; then do this again."
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
        Raises:
            gr.Error: an answer is being written; what was typed stays in the box.
        """
        _at_rest(session)
        text, files = _parts(message)
        if not text and not files:
            return _asked(session, error_html("Type a question, or add an image."))
        if not files and view is not None and view.window is not None and session.pictures:
            session = replace(session, pictures=in_window(session.pictures, view.window))
        try:
            pictures = read_uploads(files, view)
        except ImageError as error:
            sent = ", ".join([*(Path(path).name for path in files), *([text] if text else [])])
            answer = _assistant(f"**This cannot be used.** {_plain(str(error))}")
            return _asked(session.told([_user([_plain(sent)]), answer]), error_html(str(error)))
        return self._open(text or DEFAULT_QUESTION, pictures, session, request, region, wishes, view)

    def accept_example(self, number: int, session: Session, request: gr.Request | None = None) -> Asked:
        """Take an example's image and question; like `accept` otherwise.

        Args:
            number: place of the example in the list shown.
            session: the visitor's state.
            request: says who is signed in.
        Returns:
            As `accept` does.
        Raises:
            gr.Error: an answer is being written.
        """
        _at_rest(session)
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
        view: View | None = None,
    ) -> Asked:
        part, single, pictures = None, None, pictures or session.kept
        user = user_of(request)
        images = [_image(one, said_of(one), user) for one in faces(pictures)]
        if session.pictures and not pictures:
            looked_at, part = looked_at_in(session.pictures, view.section if view is not None else None, region)
            if looked_at.section is not None and (part is not None or (view is not None and view.alone)):
                single = looked_at
                images.append(_image(single, said_of(single), user))
        if part is not None:
            images.append(_image(part, "The region that the question is about", user))
        # Apart: the page's library lets a message be edited only where it holds text alone.
        shown = [*([_user(images)] if images else []), _user([_plain(question)]), _assistant(WAITING)]
        return _asked(session.asked(question, pictures, shown, part, wishes, single), NOTHING_YET)

    def again(self, place: int, session: Session, text: str | None = None) -> Asked:
        """Ask a question once more, in other words or not; what came after it is taken back.

        Args:
            place: of its message, or its answer's, among those shown.
            session: the visitor's state.
            text: the question as it was edited, its images stay; the same question if None.
        Returns:
            As `accept` does.
        Raises:
            gr.Error: an answer is being written.
        """
        _at_rest(session)
        state = session.at(place)
        before = state.earlier
        asked = state.text if text is None else text.strip()
        if before is None or not state.text:
            panel = error_html("This cannot be asked again: type the question, and add the images once more.")
            return _asked(session, panel)
        if not asked:
            return _asked(session, error_html("A question cannot be empty: edit it again, or take it back."))
        images = [one for one in state.shown[len(before.shown) :] if one["role"] == "user"][:-1]
        shown = [*images, _user([_plain(asked)]), _assistant(WAITING)]
        return _asked(before.asked(asked, state.fresh, shown, state.crop, state.wishes, state.alone), NOTHING_YET)

    def undo(self, place: int, session: Session) -> Asked:
        """Take a question and all that came after it back into the box, to be edited; its images stay with it.

        Args:
            place: of its message, or its answer's, among those shown.
            session: the visitor's state.
        Returns:
            As `accept` does.
        Raises:
            gr.Error: an answer is being written.
        """
        _at_rest(session)
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

    def answer(self, session: Session, request: gr.Request | None = None, model: str = MAIN) -> Iterator[Told]:
        """Stream the answer to the open question.

        Args:
            session: the visitor's state; its last message waits for the text.
            request: says who asks.
            model: key of the one that the visitor has chosen.
        Yields:
            The messages, the state and the panel, as the answer grows.
        """
        if session.question is None:  # what was sent could not be used, and the page says so already
            yield list(session.shown), session, gr.skip()
            return
        if self.service.shelf.state(model) in ("loading", "unloaded"):
            yield _told(session.growing(_assistant(LOADING)), NOTHING_YET)
        try:
            for text, done in _growing(self.service.stream(session.put(), asker(request), model)):
                if done is None:
                    yield _told(session.growing(_assistant(_plain(text) or WAITING)), NOTHING_YET)
                    continue
                opened = self.service.shelf.look(model)
                after = session.answered(done, model, opened.index_fingerprint if opened else None)
                message = {
                    **_assistant(_said(done, named(self.service, model))),
                    "options": [{"value": one} for one in followups(after)],
                }
                yield _told(after.growing(message), panel_of(after))
        except AssistantError as error:
            yield _unanswered(session, str(error))
        except Exception as error:
            logger.exception("an answer failed")
            yield _unanswered(
                session, f"The program failed ({type(error).__name__}); the terminal says where. Ask again."
            )


def _at_rest(session: Session) -> None:
    if session.question is not None:
        raise gr.Error(BUSY, title="One question at a time", print_exception=False)


def panel_of(session: Session) -> str:
    """Return what the last answer stands on, as the panel shows it."""
    done = session.answer
    if done is None:
        return NOTHING_YET
    return grounds_html(done.confidence, done.abstained, done.evidence, done.cautions, done.grounds, slices=done.slices)


def said_of(picture: Picture) -> str:
    """Return what stands in place of an image where it cannot be seen."""
    where = picture.section
    return "The image as the model sees it" if where is None else f"A volume; this is its {where.text}"


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


def _said(answer: Answer, model: str = "") -> str:
    """Return an answer as its message reads: the text, then how sure, how much evidence, and whose it is."""
    count = len(answer.evidence)
    sources = f" · {count} piece{'s' if count > 1 else ''} of evidence" if count else ""
    read = f" · read: {', '.join(one.section.text for one in answer.slices)}" if answer.slices else ""
    sure = confidence_phrase(answer.confidence, answer.abstained)
    whose = f" · {model}" if model else ""
    return f"{_plain(answer.text)}\n\n*Confidence: {sure}{sources}{read}{whose}*"


def _plain(text: str) -> str:
    """Keep Markdown from reading a model's or a file's text as links, images or HTML."""
    return text.replace("<", "&lt;").replace("![", "!\\[").replace("](", "]\\(")


def _user(parts: Sequence[Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}
