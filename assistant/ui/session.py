"""What the page remembers of one visitor: the pictures under discussion and what was said about them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from assistant.conversation import Answer, Question, Turn
from assistant.deidentify.shown import can_clean, shown
from assistant.errors import ImageError
from assistant.imaging.picture import Picture, Section, subjects
from assistant.sampling import Sampling
from assistant.shelf import MAIN
from assistant.ui.uploads import forget
from assistant.ui.visits import owner_tag

if TYPE_CHECKING:
    import gradio as gr
    from PIL.Image import Image

    from assistant.ui.volumes import Held

MAX_UPLOADS = 4  # images of one question
_PREVIEW_SIDES = (256, 640)
"""Previews are enlarged to the first and reduced to the second, in pixels of the longer side."""

Message = dict[str, Any]
"""One message of the chat component: `{"role", "content"}`."""


@dataclass(frozen=True)
class Wishes:
    """What a visitor has set for the questions to come."""

    temperature: float = 0.0
    """0 takes the likeliest words; above it, asking again may give another answer."""
    evidence: bool = True
    """Whether the index is searched."""
    compare: bool = False
    """Whether a new image is shown to the model after the one before it, as current after prior."""


@dataclass(frozen=True)
class Session:
    """One visitor's state; it lives in the server's memory only, and ends with the visit."""

    pictures: tuple[Picture, ...] = ()
    turns: tuple[Turn, ...] = ()
    question: str | None = None
    """Asked and not yet answered."""
    shown: tuple[Message, ...] = ()
    """The messages on the page."""
    name: str = field(default_factory=lambda: uuid4().hex, compare=False)
    """Id of the question that was asked last, and of its answer."""
    text: str = field(default="", compare=False)
    """The question that was asked last, answered or not."""
    fresh: tuple[Picture, ...] = field(default=(), compare=False, repr=False)
    """The pictures that came with it."""
    kept: tuple[Picture, ...] = field(default=(), compare=False, repr=False)
    """The pictures of a question that was taken back: they go with the next one."""
    wishes: Wishes = Wishes()
    """That the open question was asked with."""
    compared: bool = False
    """Whether the first picture under discussion is the prior of the others."""
    crop: Picture | None = field(default=None, compare=False, repr=False)
    """The region that it was about."""
    alone: Picture | None = field(default=None, compare=False, repr=False)
    """The slice of a volume that it was about, where the others are left out."""
    last: Question | None = field(default=None, compare=False, repr=False)
    """The same as it was put to the model, once it is answered."""
    answer: Answer | None = field(default=None, compare=False, repr=False)
    """The answer to it."""
    model: str = field(default=MAIN, compare=False)
    """Key of the model that gave it, and below the fingerprint of its index."""
    index: str | None = field(default=None, compare=False)
    earlier: Session | None = field(default=None, compare=False, repr=False)
    """The state before it was asked: where undo leads."""

    def asked(
        self,
        question: str,
        pictures: Sequence[Picture],
        shown: Sequence[Message],
        crop: Picture | None = None,
        wishes: Wishes | None = None,
        alone: Picture | None = None,
    ) -> Session:
        """Return the state after a question.

        Args:
            question: what is asked.
            pictures: new ones begin a new subject, unless they are to be compared with the last.
            shown: messages that the page shows for it.
            crop: a region of the last picture, to be shown to the model beside it.
            wishes: how it is to be answered; those of before if None.
            alone: a slice of the volume under discussion, to be shown to the model without the others.
        Returns:
            The state with an open question.
        """
        wishes = wishes or self.wishes
        last = subjects(self.pictures)[-1:] if wishes.compare and pictures else []
        prior = tuple(self.pictures[place] for places in last for place in places)
        return Session(
            pictures=(*prior, *pictures) or self.pictures,
            wishes=wishes,
            compared=bool(prior) or (self.compared and not pictures),
            turns=() if pictures else self.turns,
            question=question,
            shown=(*_without_offers(self.shown), *shown),
            text=question,
            fresh=tuple(pictures),
            crop=None if pictures else crop,
            alone=None if pictures else alone,
            earlier=self,
        )

    def told(self, shown: Sequence[Message]) -> Session:
        """Return the state after messages that change nothing but the page."""
        return replace(self.closed(), shown=(*self.shown, *shown), earlier=self)

    def closed(self) -> Session:
        """Return the state with no last question: what follows is about something else."""
        return replace(self, text="", fresh=(), crop=None, alone=None, last=None, answer=None)

    def growing(self, message: Message) -> Session:
        """Return the state with another last message."""
        return replace(self, shown=(*self.shown[:-1], message))

    def put(self) -> Question:
        """Return the open question as it is put to the model: a region comes after the pictures it is of."""
        crops = () if self.crop is None else (self.crop,)
        pictures = self.pictures if self.alone is None else (self.alone,)
        seed = secrets.randbelow(2**31) if self.wishes.temperature else None  # asked again, the draws differ
        sampling = Sampling(temperature=self.wishes.temperature or None, seed=seed)
        return Question(
            self.question or "", (*pictures, *crops), self.turns, sampling=sampling, evidence=self.wishes.evidence
        )

    def answered(self, answer: Answer, model: str = MAIN, index: str | None = None) -> Session:
        """Return the state after the open question was answered, by which model and index."""
        turns = (*self.turns, Turn("user", self.question or ""), Turn("assistant", answer.text))
        return replace(self, turns=turns, question=None, last=self.put(), answer=answer, model=model, index=index)

    def withdrawn(self) -> Session:
        """Return the state as if the open question had not been asked; its messages stay."""
        return replace(self, question=None)

    def at(self, place: int) -> Session:
        """Return the state in which the message at a place was the newest question or its answer."""
        state = self
        while state.earlier is not None and len(state.earlier.shown) > place:
            state = state.earlier
        return state

    def exchanges(self) -> list[tuple[Question, Answer]]:
        """Return what was asked and answered, oldest first; what was withdrawn is left out."""
        found: list[tuple[Question, Answer]] = []
        state: Session | None = self
        while state is not None:
            if state.last is not None and state.answer is not None:
                found.append((state.last, state.answer))
            state = state.earlier
        return found[::-1]


def _without_offers(shown: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return messages without the questions that the last one offers: another one is being asked."""
    last = ({key: value for key, value in one.items() if key != "options"} for one in shown[-1:])
    return (*shown[:-1], *last)


def user_of(request: gr.Request | None) -> str | None:
    """Return who is signed in, None on a page without a login."""
    return getattr(request, "username", None)


def asker(request: gr.Request | None) -> str:
    """Return by what name a visitor takes her turn: who is signed in, or else one name for this machine."""
    return user_of(request) or "page"


@dataclass(frozen=True)
class View:
    """How an uploaded file is to be seen."""

    frame: int | None = None
    """From 0; None takes the file's own choice. Files with fewer frames keep theirs."""
    window: str | None = None
    """A name of `window.PRESETS`, for CT; None takes the file's own."""
    alone: bool = False
    """Whether only the slice of a volume that is looked at goes to the model."""
    section: Section | None = None
    """That slice."""
    held: Held | None = field(default=None, compare=False, repr=False)
    """What was uploaded, where a volume was read to show it."""


def read_uploads(paths: Sequence[str], view: View | None = None) -> list[Picture]:
    """Read uploaded files, and delete them at once, readable or not.

    Args:
        paths: where the page's server put them.
        view: the frame and window chosen for those that have several.
    Returns:
        One picture a file; all slices of a volume, which is a NIfTI file or several DICOM files.
    Raises:
        ImageError: there are too many, or one is no image that can be read.
    """
    from assistant.imaging.several import sort_sent
    from assistant.ui.volumes import given, slices_of

    try:
        held = view.held if view is not None and view.held is not None and view.held.paths == tuple(paths) else None
        found = list(held.found) if held is not None else sort_sent(given(paths), most_single=MAX_UPLOADS)
        if len(found) > MAX_UPLOADS:
            raise ImageError(f"{len(found)} images were sent. Send at most {MAX_UPLOADS} with one question.")
        window = view.window if view else None
        read = (slices_of(one.volume, window) if one.volume else [read_as(paths[one.first], view)] for one in found)
        return [picture for pictures in read for picture in pictures]
    except ImageError as error:
        message = str(error)
        for number, path in enumerate(paths, start=1):  # a file's name may name a patient
            message = message.replace(path, f"Image {number}")
        raise ImageError(message) from error
    finally:
        forget(paths)


def read_as(path: str, view: View | None = None, max_side: int | None = None) -> Picture:
    """Read a file with the frame and window that were chosen, where it has them.

    Args:
        path: of the file; it stays.
        view: None reads it as it is.
        max_side: as `load_picture` takes it.
    Returns:
        The picture.
    Raises:
        ImageError: it is no image that can be read.
    """
    from assistant.imaging.load import load_picture

    picture = load_picture(path, max_side=max_side)
    if view is None or view == View():
        return picture
    frame = view.frame if view.frame is not None and view.frame < picture.frames else None
    window = view.window if picture.modality == "CT" and picture.source_format == "DICOM" else None
    if frame in (None, picture.frame) and window is None:
        return picture
    return load_picture(path, frame=picture.frame if frame is None else frame, window=window, max_side=max_side)


def preview(picture: Picture) -> Image:
    """Return a picture as the page shows it: not tiny, not larger than a screen, without text that OCR found in it."""
    from PIL.Image import Resampling

    image = (shown(picture) if can_clean() else picture).to_pil()
    longer = max(image.size)
    wanted = min(max(longer, _PREVIEW_SIDES[0]), _PREVIEW_SIDES[1])
    if wanted == longer:
        return image
    width, height = (max(1, round(side * wanted / longer)) for side in image.size)
    return image.resize((width, height), Resampling.LANCZOS)


def preview_file(picture: Picture, user: str | None = None) -> str:
    """Write a preview to the page's temporary folder, which forgets it after a while, and return its path.

    Args:
        picture: to show; the file holds its reduced pixels and nothing else.
        user: whose it is; its name begins so that nobody else is given it.
    Returns:
        The file's path.
    """
    return image_file(preview(picture), user)


def image_file(image: Image, user: str | None = None) -> str:
    """Write an image where `preview_file` writes, under the same kind of name.

    Args:
        image: to show.
        user: whose it is.
    Returns:
        The file's path.
    """
    from gradio.utils import get_upload_folder

    folder = Path(get_upload_folder()) / "previews"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{owner_tag(user)}-{uuid4().hex}.png"
    image.save(path)
    return str(path)
