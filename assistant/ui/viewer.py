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
    window: str | None = None
    """What was chosen; None before anything was."""

    def place(self, number: float | None) -> int:
        """Return the place of a slice, numbered from 1, among all pictures; the last one's without a volume."""
        return self.first + self._at(number) if self.pictures else -1

    def view(self, number: float | None, window: str | None, alone: bool) -> View:
        """Return how a question that follows is to be asked.

        Args:
            number: of the slice that is looked at, from 1.
            window: that the control shows.
            alone: whether only that slice goes to the model.
        Returns:
            The view.
        """
        if not self.pictures:
            return View()
        chosen = window if self.window is not None or window != OF_ORGAN else None
        return View(window=chosen, alone=alone, section=self.pictures[self._at(number)].section)

    def _at(self, number: float | None) -> int:
        return min(max(int(number or 1) - 1, 0), len(self.pictures) - 1)


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
    stack = Stack(mine, places[0], read, before.window if same else None)
    at = place_of(pictures, read) - places[0]
    volume = mine[0].volume if isinstance(mine[0], SlicePicture) else None
    offered = windows_of(volume) if volume is not None else (OF_ORGAN,)
    slider = gr.update(minimum=1, maximum=max(2, len(mine)), value=at + 1, label=f"Slice (1 to {len(mine)})")
    windows = gr.update(choices=list(offered), value=stack.window or OF_ORGAN, visible=len(offered) > 1)
    slices = gr.update(choices=[slice_words(one) for one in read], value=None, visible=bool(read))
    return stack, gr.update(visible=True), slider, windows, slices, slice_html(mine[at])


def turn(number: float | None, window: str | None, stack: Stack) -> Turned:
    """Show another slice, or the volume in another window; what is asked next is asked of it in that window.

    Args:
        number: from 1, in the order of the slider.
        window: of `windows_of`; None leaves it as it is.
        stack: as it was.
    Returns:
        The stack, and HTML of the slice.
    """
    if not stack.pictures:
        return stack, ""
    if window is not None and window != (stack.window or OF_ORGAN):
        stack = replace(stack, pictures=in_window(stack.pictures, window), window=window)
    return stack, slice_html(stack.pictures[stack.place(number) - stack.first])


def pick(index: int, number: float | None, stack: Stack) -> tuple[Any, str]:
    """Show a slice that the model read.

    Args:
        index: among those that are listed.
        number: of the slice that is shown, from 1; it stays where there is no such slice.
        stack: as it was.
    Returns:
        The slider, and HTML of the slice.
    """
    wanted = stack.notes[index].section if 0 <= index < len(stack.notes) else None
    found = next((place + 1 for place, one in enumerate(stack.pictures) if one.section == wanted), number)
    return gr.update(value=found), turn(found, None, stack)[1]


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
