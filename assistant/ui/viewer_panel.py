"""The controls of a volume: slices that were read, a slider, a window, and whether one slice is asked about alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.imaging.picture import Picture
from assistant.slice_note import SliceNote
from assistant.ui.controls import Controls
from assistant.ui.session import View
from assistant.ui.viewer import Opened, Stack, open_stack, pick, turn
from assistant.ui.volumes import OF_ORGAN

_HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
Seen = Callable[[Any], tuple[Sequence[Picture], Sequence[SliceNote]]]
"""Gives the pictures of a state, and the slices that were read."""


@dataclass(frozen=True)
class Viewer:
    """What a tab needs of the controls."""

    looked: Controls
    """Give the `View` that a question which follows is asked in."""
    place: Controls
    """Give the place of the slice that is looked at among all pictures."""
    renew: tuple[Any, ...]
    """Function, inputs and outputs that show what is under discussion now."""
    turned: tuple[Any, ...]
    """Events after which another slice is shown."""


def build_viewer(source: gr.State, seen: Seen, name: str, *, asks: bool = False) -> Viewer:
    """Put the controls on the page; they show up where there is a volume.

    Args:
        source: holds what is under discussion.
        seen: gives its pictures.
        name: of the controls on the page, in the elements' ids.
        asks: whether a question may follow, and so be asked about one slice.
    Returns:
        What the tab needs of it.
    """
    stack = gr.State(Stack())
    with gr.Group(visible=False, elem_id=f"{name}-volume") as group:
        slices = gr.Radio(
            [], label="Slices that the model read: choose one to see it", elem_id=f"{name}-slices", interactive=True
        )
        shown = gr.HTML("", elem_id=f"{name}-slice", elem_classes="ma-bare", label="The slice")
        number = gr.Slider(1, 2, value=1, step=1, label="Slice", elem_id=f"{name}-number", buttons=[])
        window = gr.Dropdown([OF_ORGAN], value=OF_ORGAN, label="Window", elem_id=f"{name}-window")
        alone = gr.Checkbox(False, label="Ask about this slice alone", visible=asks, elem_id=f"{name}-alone")

    def open_volume(state: Any, before: Stack) -> tuple[Any, ...]:
        pictures, notes = seen(state)
        opened: Opened = open_stack(pictures, notes, before)
        return *opened, gr.update(value=False)

    def listed(event: gr.SelectData, chosen: float, state: Stack) -> tuple[Any, ...]:
        return pick(int(event.index), chosen, state)

    def view(state: Stack, chosen: float | None, wished: str | None, single: bool | None) -> View:
        return state.view(chosen, wished, bool(single))

    turned = (
        gr.on([number.release, number.input, window.input], turn, [number, window, stack], [stack, shown],
              trigger_mode="always_last", **_HIDDEN),
        slices.select(listed, [number, stack], [number, shown], **_HIDDEN),
    )  # fmt: skip
    renew = (open_volume, [source, stack], [stack, group, number, window, slices, shown, alone])
    looked = Controls((stack, number, window, alone), view)
    return Viewer(looked, Controls((stack, number), Stack.place), renew, turned)
