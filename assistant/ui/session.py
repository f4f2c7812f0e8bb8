"""What the page remembers of one visitor: the pictures under discussion and what was said about them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from assistant.conversation import Turn
from assistant.errors import ImageError
from assistant.imaging.picture import Picture
from assistant.ui.visits import owner_tag

if TYPE_CHECKING:
    import gradio as gr
    from PIL.Image import Image

logger = logging.getLogger(__name__)

MAX_UPLOADS = 4
"""Most images of one question."""
_PREVIEW_SIDES = (256, 640)
"""Previews are enlarged to the first and reduced to the second, in pixels of the longer side."""


Message = dict[str, Any]
"""One message of the chat component: `{"role", "content"}`."""


@dataclass(frozen=True)
class Session:
    """One visitor's state; it lives in the server's memory only, and ends with the visit."""

    pictures: tuple[Picture, ...] = ()
    turns: tuple[Turn, ...] = ()
    question: str | None = None
    """Asked and not yet answered."""
    shown: tuple[Message, ...] = ()
    """The messages on the page."""

    def asked(self, question: str, pictures: Sequence[Picture], shown: Sequence[Message]) -> Session:
        """Return the state after a question; new pictures begin a new subject."""
        kept = replace(self, question=question, shown=(*self.shown, *shown))
        return replace(kept, pictures=tuple(pictures), turns=()) if pictures else kept

    def told(self, shown: Sequence[Message]) -> Session:
        """Return the state after messages that change nothing but the page."""
        return replace(self, shown=(*self.shown, *shown))

    def growing(self, message: Message) -> Session:
        """Return the state with another last message."""
        return replace(self, shown=(*self.shown[:-1], message))

    def answered(self, answer: str) -> Session:
        """Return the state after the open question was answered."""
        turns = (*self.turns, Turn("user", self.question or ""), Turn("assistant", answer))
        return replace(self, turns=turns, question=None)

    def withdrawn(self) -> Session:
        """Return the state as if the open question had not been asked; its messages stay."""
        return replace(self, question=None)


def user_of(request: gr.Request | None) -> str | None:
    """Return who is signed in, None on a page without a login."""
    return getattr(request, "username", None)


def asker(request: gr.Request | None) -> str:
    """Return by what name a visitor takes her turn: who is signed in, or else one name for this machine."""
    return user_of(request) or "page"


def read_uploads(paths: Sequence[str]) -> list[Picture]:
    """Read uploaded files, and delete them at once, readable or not.

    Args:
        paths: where the page's server put them.
    Returns:
        One picture a file.
    Raises:
        ImageError: there are too many, or one is no image that can be read.
    """
    from assistant.imaging.load import load_picture

    try:
        if len(paths) > MAX_UPLOADS:
            raise ImageError(f"{len(paths)} images were sent. Send at most {MAX_UPLOADS} with one question.")
        return [load_picture(path) for path in paths]
    except ImageError as error:
        message = str(error)
        for path in paths:
            message = message.replace(path, Path(path).name)
        raise ImageError(message) from error
    finally:
        forget(paths)


def forget(paths: Sequence[str]) -> None:
    """Delete uploaded files from the server's temporary folder."""
    for path in paths:
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("an uploaded file could not be deleted: %s", error.strerror)


def preview(picture: Picture) -> Image:
    """Return a picture as the page shows it: neither tiny nor larger than a screen needs."""
    from PIL.Image import Resampling

    image = picture.to_pil()
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
    from gradio.utils import get_upload_folder

    folder = Path(get_upload_folder()) / "previews"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{owner_tag(user)}-{uuid4().hex}.png"
    preview(picture).save(path)
    return str(path)
