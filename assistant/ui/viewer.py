"""The slices of a volume that was asked about: which one is shown, in which window, and which the model read."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr

from assistant.imaging.picture import Picture
from assistant.slice_note import SliceNote
from assistant.ui.panels import slice_words
from assistant.ui.session import View, preview
from assistant.ui.volumes import OF_ORGAN, SlicePicture, caption, in_window, last_volume, lettered, place_of, windows_of


@dataclass(frozen=True, eq=False)
class Stack:
    """The volume that is looked at; in the server's memory only."""

    pictures: tuple[Picture, ...] = ()
    """Its slices, in order."""
    first: int = 0
    """The place of its first slice among all pictures under discussion."""
    notes: tuple[SliceNote, ...] = ()
    """Those of its slices that the model read."""
    at: int = 0
    """Which slice is shown, from 0."""
    window: str | None = None
    """What was chosen; None before anything was."""
    alone: bool = False
    """Whether only the slice shown goes to the model with the next question."""

    @property
    def place(self) -> int:
        """The place of the slice that is shown among all pictures; the last one without a volume."""
        return self.first + self.at if self.pictures else -1

    @property
    def view(self) -> View:
        """How a question that follows is to be asked."""
        return View(window=self.window, alone=self.alone)


Opened = tuple[Stack, Any, Any, Any, Any, Any]
"""The stack, the group, the slider, the windows, the slices that were read, and the slice."""
Turned = tuple[Stack, str]


def open_stack(pictures: Sequence[Picture], notes: Sequence[SliceNote], before: Stack) -> Opened:
    """Show the last volume under discussion, at the slice that stands out most.

    Args:
        pictures: all of them.
        notes: the slices that the last answer rests on.
        before: what was shown until now; a volume that is still there keeps its window.
    Returns:
        See `Opened`; the group is hidden where there is no volume.
    """
    places = last_volume(pictures)
    if not places or pictures[-1].section is None:
        return Stack(), gr.update(visible=False), gr.skip(), gr.skip(), gr.skip(), ""
    mine = tuple(pictures[place] for place in places)
    sections = {one.section for one in mine}
    read = tuple(note for note in notes if note.section in sections)
    same = bool(before.pictures) and _series(before.pictures[0]) == _series(mine[0])
    stack = Stack(mine, places[0], read, place_of(pictures, read) - places[0], before.window if same else None)
    volume = mine[0].volume if isinstance(mine[0], SlicePicture) else None
    offered = windows_of(volume) if volume is not None else (OF_ORGAN,)
    slider = gr.update(minimum=1, maximum=max(2, len(mine)), value=stack.at + 1, label=f"Slice (1 to {len(mine)})")
    windows = gr.update(choices=list(offered), value=stack.window or OF_ORGAN, visible=len(offered) > 1)
    slices = gr.update(choices=[slice_words(one) for one in read], value=None, visible=bool(read))
    return stack, gr.update(visible=True), slider, windows, slices, slice_html(mine[stack.at])


def turn(number: float | None, stack: Stack) -> Turned:
    """Show another slice.

    Args:
        number: from 1, in the order of the slider.
        stack: as it was.
    Returns:
        The stack, and HTML of the slice.
    """
    if not stack.pictures:
        return stack, ""
    at = min(max(int(number or 1) - 1, 0), len(stack.pictures) - 1)
    return replace(stack, at=at), slice_html(stack.pictures[at])


def pick(index: int, stack: Stack) -> tuple[Stack, Any, str]:
    """Show a slice that the model read.

    Args:
        index: among those that are listed.
        stack: as it was.
    Returns:
        The stack, the slider, and HTML of the slice.
    """
    wanted = stack.notes[index].section if 0 <= index < len(stack.notes) else None
    at = next((place for place, one in enumerate(stack.pictures) if one.section == wanted), stack.at)
    after, html = turn(at + 1, stack)
    return after, gr.update(value=at + 1), html


def rewindow(window: str | None, stack: Stack) -> Turned:
    """Show the volume in another window; what is asked next is asked of it in that window.

    Args:
        window: of `windows_of`.
        stack: as it was.
    Returns:
        The stack, and HTML of the slice.
    """
    chosen = window or OF_ORGAN
    after = replace(stack, pictures=in_window(stack.pictures, chosen), window=chosen)
    return after, slice_html(after.pictures[after.at]) if after.pictures else ""


def slice_html(picture: Picture) -> str:
    """Return a slice as a figure, with letters for the patient's directions and where it lies.

    Args:
        picture: of a volume.
    Returns:
        HTML with the slice inside; no file is written for it.
    """
    buffer = io.BytesIO()
    lettered(preview(picture), picture).save(buffer, "JPEG", quality=90)
    encoded, told = b64encode(buffer.getvalue()).decode(), escape(caption(picture))
    return (
        f"<figure class='ma-slice'><img alt='{told}' src='data:image/jpeg;base64,{encoded}'>"
        f"<figcaption role='status'>{told}</figcaption></figure>"
    )


def _series(picture: Picture) -> str:
    return picture.section.series if picture.section else ""
