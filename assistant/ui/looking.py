"""What the page does with pictures beside the conversation: frame and window, a region, what an answer rests on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.errors import AssistantError, ImageError
from assistant.imaging.picture import Picture
from assistant.imaging.several import sort_sent
from assistant.imaging.volume import Volume
from assistant.slice_note import pictures_read
from assistant.ui.overlay import heat_html, note_html, pair_html
from assistant.ui.panels import error_html
from assistant.ui.region import Region, drawn, share_of
from assistant.ui.service import AssistantService
from assistant.ui.session import MAX_UPLOADS, Session, View, asker, image_file, preview, preview_file, read_as, user_of
from assistant.ui.volumes import Held, caption, faces, given, lettered, slice_of, windows_of

logger = logging.getLogger(__name__)

AS_STORED = "As in the file"
WINDOWS = (AS_STORED, "soft tissue", "lung", "bone", "brain")
ASKED = "What will be asked about"
WORKING = note_html("Blurring the picture part by part …")
_PEEK_SIDE = 640

Chosen = tuple[View, str, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]
Offer = tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]
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
        if (held := hold(files)) is not None and held.volume is not None:
            return View(held=held), now, *offered(held.volume, user_of(request))
        found = next(((path, one) for path in reversed(files) if (one := _choice(path)) is not None), None)
        if found is None:
            return View(), now, gr.update(visible=False), gr.skip(), gr.skip(), gr.update(value=None)
        _, picture = found
        slider = gr.update(
            minimum=1, maximum=max(2, picture.frames), value=picture.frame + 1, visible=picture.frames > 1,
            label=f"Frame (1 to {picture.frames})",
        )  # fmt: skip
        windows = gr.update(choices=choices(WINDOWS), value="", visible=picture.modality == "CT")
        shown = gr.update(value=preview_file(picture, user_of(request)), label=ASKED)
        return View(), now, gr.update(visible=True), slider, windows, shown

    def turn(
        self,
        frame: float | None,
        window: str | None,
        seen: str,
        before: View | None = None,
        request: gr.Request | None = None,
    ) -> dict[str, Any]:
        """Show another frame or window of what was uploaded, or another slice.

        Args:
            frame: from 1.
            window: one of `WINDOWS`, or of `windows_of` a volume.
            seen: the files, as `look` returned them.
            before: the view, as `look` returned it.
            request: says who is signed in.
        Returns:
            Its preview.
        Raises:
            gr.Error: the frame cannot be read; the page shows why.
        """
        view = view_of(frame, window, before)
        if view.held is not None and view.held.volume is not None:
            return shown_slice(view.held.volume, int(frame or 1) - 1, view.window, user_of(request))
        path = next((one for one in reversed(seen.split("\n")) if one and _choice(one) is not None), None)
        if path is None:
            return gr.update(value=None)
        try:
            picture = read_as(path, view, _PEEK_SIDE)
        except ImageError as error:
            raise gr.Error(str(error).replace(path, Path(path).name), print_exception=False) from error
        return gr.update(value=preview_file(picture, user_of(request)))

    def canvas(self, session: Session, request: gr.Request | None = None, place: int = -1) -> Drawn:
        """Show the picture under discussion to draw on, and forget the box of before.

        Args:
            session: the visitor's state.
            request: says who is signed in.
            place: which picture; one that is not there stands for the last.
        Returns:
            The picture's file, the region and what to do.
        """
        if not session.pictures:
            return None, Region(), note_html("Ask about an image first; then a box can be drawn on it.")
        region = Region(place=place if 0 <= place < len(session.pictures) else -1)
        shown = image_file(drawn(session.pictures[region.place], region), user_of(request))
        return shown, region, note_html(region.words())

    def pair(self, session: Session) -> str:
        """Show the last two pictures under discussion side by side, as they are read: the earlier one left.

        Args:
            session: the visitor's state.
        Returns:
            HTML with the pictures inside; empty with fewer than two.
        """
        return pair_html(faces(session.pictures)[-2:], compared=session.compared)

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
        picture = session.pictures[region.place if region.place < len(session.pictures) else -1]
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
            heat = self.service.heat(session.last, session.answer.text, asker(request), session.model)
            yield heat_html(pictures_read(session.last.pictures, session.answer.slices)[-1], heat)
        except AssistantError as error:
            yield error_html(str(error))
        except TimeoutError:
            yield error_html("This took too long, as others are asking too. Try again in a minute.")
        except Exception as error:
            logger.exception("an overlay failed")
            yield error_html(f"The program failed ({type(error).__name__}); the terminal says where. Try again.")


def hold(files: Sequence[str]) -> Held | None:
    """Read uploads if a volume is among them.

    Args:
        files: where they lie.
    Returns:
        What was read; None without files, and for a volume that cannot be read, which is told of once it is sent.
    """
    try:
        return Held(tuple(files), tuple(sort_sent(given(files), most_single=MAX_UPLOADS))) if files else None
    except ImageError:
        return None


def choices(windows: Sequence[str]) -> list[tuple[str, str]]:
    """Return windows for the menu, what is shown and its value; the first one's is "" in every menu.

    A hidden menu shows up again with the value that it had at first, and the page's library refuses a value that is not
    on offer.
    """
    return [(one, "" if place == 0 else one) for place, one in enumerate(windows)]


def view_of(frame: float | None, window: str | None, before: View | None) -> View:
    """Return how an upload is to be seen.

    Args:
        frame: from 1; a volume is asked about whole, whichever slice of it is shown.
        window: one of `WINDOWS`, or of `windows_of` a volume.
        before: the view, as `Looking.look` returned it.
    Returns:
        The view.
    """
    if before is not None and before.held is not None and before.held.volume is not None:
        return replace(before, window=window if window in windows_of(before.held.volume)[1:] else None)
    return View(max(0, int(frame or 1) - 1), window if window in WINDOWS[1:] else None)


def offered(volume: Volume, user: str | None) -> Offer:
    """Return the group, the slider, the windows and the preview for a volume."""
    count, middle = len(volume.numbers), len(volume.numbers) // 2
    windows = windows_of(volume)
    return (
        gr.update(visible=True),
        gr.update(minimum=1, maximum=max(2, count), value=middle + 1, visible=count > 1, label=f"Slice (1 to {count})"),
        gr.update(choices=choices(windows), value="", visible=len(windows) > 1),
        shown_slice(volume, middle, None, user),
    )


def shown_slice(volume: Volume, place: int, window: str | None, user: str | None) -> dict[str, Any]:
    """Return the preview of one slice, with where it lies."""
    picture = slice_of(volume, place, window)
    return gr.update(value=image_file(lettered(preview(picture), picture), user), label=caption(picture))


def _choice(path: str) -> Picture | None:
    """Return a file's picture where there is a frame or a window to choose; a broken file is told of once sent."""
    try:
        picture = read_as(path, max_side=_PEEK_SIDE)
    except ImageError:
        return None
    windowed = picture.modality == "CT" and picture.source_format == "DICOM"
    return picture if windowed or picture.frames > 1 else None
