"""What the page does with pictures beside the conversation: frame and window, a region, what an answer rests on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.errors import AssistantError, ImageError
from assistant.imaging.picture import Picture
from assistant.ui.overlay import heat_html, note_html, pair_html
from assistant.ui.panels import error_html
from assistant.ui.region import Region, drawn, share_of
from assistant.ui.service import AssistantService
from assistant.ui.session import Session, View, asker, image_file, preview, preview_file, read_as, user_of

logger = logging.getLogger(__name__)

AS_STORED = "As in the file"
WINDOWS = (AS_STORED, "soft tissue", "lung", "bone", "brain")
WORKING = note_html("Blurring the picture part by part …")
_PEEK_SIDE = 640

Chosen = tuple[View, str, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]
Drawn = tuple[str | None, Region, str]


@dataclass(frozen=True)
class Looking:
    """The functions behind the controls beside the conversation."""

    service: AssistantService

    def look(self, message: dict[str, Any] | None, seen: str, request: gr.Request | None = None) -> Chosen:
        """Offer the frames and windows of what was just uploaded, where it has any.

        Args:
            message: of the multimodal box, not sent yet.
            seen: what this returned for `message` before: the same files are not read twice.
            request: says who is signed in.
        Returns:
            The view, the files looked at, the group, the slider, the windows and the preview.
        """
        files = [str(path) for path in (message or {}).get("files") or ()]
        now = "\n".join(files)
        if now == seen:
            return gr.skip(), seen, gr.skip(), gr.skip(), gr.skip(), gr.skip()
        found = next(((path, one) for path in reversed(files) if (one := _choice(path)) is not None), None)
        if found is None:
            return View(), now, gr.update(visible=False), gr.skip(), gr.skip(), gr.update(value=None)
        _, picture = found
        slider = gr.update(
            minimum=1, maximum=max(2, picture.frames), value=picture.frame + 1, visible=picture.frames > 1,
            label=f"Frame (1 to {picture.frames})",
        )  # fmt: skip
        windows = gr.update(value=AS_STORED, visible=picture.modality == "CT")
        shown = gr.update(value=preview_file(picture, user_of(request)))
        return View(), now, gr.update(visible=True), slider, windows, shown

    def turn(
        self, frame: float | None, window: str | None, seen: str, request: gr.Request | None = None
    ) -> tuple[View, dict[str, Any]]:
        """Show another frame or window of what was uploaded.

        Args:
            frame: from 1.
            window: one of `WINDOWS`.
            seen: the files, as `look` returned them.
            request: says who is signed in.
        Returns:
            The view, and its preview.
        Raises:
            gr.Error: the frame cannot be read; the page shows why.
        """
        view = View(max(0, int(frame or 1) - 1), window if window in WINDOWS[1:] else None)
        path = next((one for one in reversed(seen.split("\n")) if one and _choice(one) is not None), None)
        if path is None:
            return View(), gr.update(value=None)
        try:
            picture = read_as(path, view, _PEEK_SIDE)
        except ImageError as error:
            raise gr.Error(str(error).replace(path, Path(path).name), print_exception=False) from error
        return view, gr.update(value=preview_file(picture, user_of(request)))

    def canvas(self, session: Session, request: gr.Request | None = None) -> Drawn:
        """Show the picture under discussion to draw on, and forget the box of before.

        Args:
            session: the visitor's state.
            request: says who is signed in.
        Returns:
            The picture's file, the region and what to do.
        """
        if not session.pictures:
            return None, Region(), note_html("Ask about an image first; then a box can be drawn on it.")
        shown = preview_file(session.pictures[-1], user_of(request))
        return shown, Region(), note_html(Region().words())

    def pair(self, session: Session) -> str:
        """Show the last two pictures under discussion side by side, as they are read: the earlier one left.

        Args:
            session: the visitor's state.
        Returns:
            HTML with the pictures inside; empty with fewer than two.
        """
        return pair_html(session.pictures[-2:], compared=session.compared)

    def click(
        self, index: tuple[int, int], session: Session, region: Region, request: gr.Request | None = None
    ) -> Drawn:
        """Take a click on the picture.

        Args:
            index: column and row, in pixels of the preview.
            session: the visitor's state.
            region: as it was.
            request: says who is signed in.
        Returns:
            The picture with the box, the region and what to do.
        """
        if not session.pictures:
            return None, Region(), note_html(Region().words())
        picture = session.pictures[-1]
        after = region.clicked(share_of(index, preview(picture).size))
        return image_file(drawn(picture, after), user_of(request)), after, note_html(after.words())

    def heat(self, session: Session, request: gr.Request | None = None) -> Iterator[str]:
        """Show what in the picture the last answer rests on.

        Args:
            session: the visitor's state.
            request: says who asks.
        Yields:
            That it is being worked out, then the overlay, or why there is none.
        """
        if session.last is None or session.answer is None or not session.last.pictures:
            yield note_html("Ask about an image first: this shows what in it the last answer rests on.")
            return
        if session.answer.abstained:  # what was said then is no text of the model's
            yield note_html("The assistant gave no answer of its own here, so there is nothing to show.")
            return
        yield WORKING
        try:
            heat = self.service.heat(session.last, session.answer.text, asker(request))
            yield heat_html(session.last.pictures[-1], heat)
        except AssistantError as error:
            yield error_html(str(error))
        except TimeoutError:
            yield error_html("This took too long, as others are asking too. Try again in a minute.")
        except Exception as error:
            logger.exception("an overlay failed")
            yield error_html(f"The program failed ({type(error).__name__}); the terminal says where. Try again.")


def _choice(path: str) -> Picture | None:
    """Return a file's picture where there is a frame or a window to choose; a broken file is told of once sent."""
    try:
        picture = read_as(path, max_side=_PEEK_SIDE)
    except ImageError:
        return None
    windowed = picture.modality == "CT" and picture.source_format == "DICOM"
    return picture if windowed or picture.frames > 1 else None
