"""The controls beside the conversation: frame and window before asking, a region, and what an answer rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.ui.controls import Controls
from assistant.ui.looking import WINDOWS, Looking, choices, view_of
from assistant.ui.overlay import note_html
from assistant.ui.region import Region
from assistant.ui.session import Session, View, Wishes
from assistant.ui.viewer_panel import Viewer

_HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Beside:
    """What the conversation needs of the controls beside it."""

    region: gr.State
    """The `Region` that the next question is about."""
    renew: tuple[Any, ...]
    """Function, inputs and outputs that show the picture under discussion."""


def build_views(looking: Looking, box: gr.MultimodalTextbox) -> Controls:
    """Put frame and window of an upload under the question's box; they show up where there is a choice.

    Args:
        looking: the functions.
        box: where files are uploaded.
    Returns:
        What gives the `View`, with the box before the others: of what is in it, where the controls are about that.
    """
    view, seen = gr.State(View()), gr.State("")
    with gr.Group(visible=False) as group, gr.Row(elem_id="views"):
        with gr.Column(scale=3, min_width=200):
            frame = gr.Slider(1, 2, value=1, step=1, label="Frame", elem_id="frame", buttons=[])
            window = gr.Dropdown(choices(WINDOWS), value="", label="Window", elem_id="window")
        with gr.Column(scale=2, min_width=180):
            shown = gr.Image(
                type="filepath", interactive=False, height=200, label="What will be asked about", buttons=[],
                alt_text="The chosen frame in the chosen window",
            )  # fmt: skip
    outputs = [view, seen, group, frame, window, shown]
    # Not queued: typing must never stand before, or beside, the question that it ends in.
    box.change(looking.look, [box, seen], outputs, trigger_mode="always_last", queue=False, **_HIDDEN)
    gr.on(
        [frame.release, frame.input, window.input],
        looking.turn,
        [frame, window, seen, view],
        shown,
        trigger_mode="always_last",
        **_HIDDEN,
    )

    def read(
        message: dict[str, Any] | None, before: View, files: str, number: float | None, wished: str | None
    ) -> View:
        sent = "\n".join(str(path) for path in (message or {}).get("files") or ())
        return view_of(number, wished, before) if sent and sent == files else View()

    return Controls((box, view, seen, frame, window), read)


def build_region(looking: Looking, session: gr.State, viewer: Viewer) -> Beside:
    """Put the picture to draw on under the question's box.

    Args:
        looking: the functions.
        session: the visitor's state.
        viewer: says which slice of a volume is looked at.
    Returns:
        What the conversation needs of it.
    """
    region = gr.State(Region())
    pair = gr.HTML("", elem_id="pair", elem_classes="ma-bare", label="The last two images side by side")
    with gr.Accordion("Ask about a region", open=False, elem_id="region"):
        hint = gr.HTML(note_html("Ask about an image first; then a box can be drawn on it."), elem_classes="ma-bare")
        canvas = gr.Image(
            type="filepath", interactive=False, show_label=False, label="Picture to draw on", buttons=[],
            elem_id="canvas", alt_text="The picture under discussion; click two corners of a region",
        )  # fmt: skip
        clear = gr.Button("Whole picture again", size="sm")

    def click(event: gr.SelectData, state: Session, drawn: Region, request: gr.Request) -> tuple[Any, ...]:
        return looking.click(event.index, state, drawn, request)

    canvas.select(click, [session, region], [canvas, region, hint], **_HIDDEN)

    def draw(request: gr.Request, state: Session, *looked_at: Any) -> tuple[Any, ...]:
        return *looking.canvas(state, request, viewer.place.read(*looked_at)), looking.pair(state)

    renew = (draw, [session, *viewer.place.inputs], [canvas, region, hint, pair])
    clear.click(*renew, **_HIDDEN)
    for event in viewer.turned:
        event.then(*renew, **_HIDDEN)
    return Beside(region, renew)


def build_wishes() -> Controls:
    """Put the settings for the questions to come on the page.

    Returns:
        What gives the `Wishes`.
    """
    with gr.Accordion("Settings", open=False, elem_id="settings"):
        compare = gr.Checkbox(False, label="Compare a new image with the one before (earlier, then current)")
        evidence = gr.Checkbox(True, label="Search the index for evidence")
        temperature = gr.Slider(
            0, 1.5, value=0, step=0.1, label="Temperature", buttons=[],
            info="0 gives the likeliest answer each time; above it, asking again may give another.",
        )  # fmt: skip

    def wished(pair: bool, search: bool, heat: float | None) -> Wishes:
        return Wishes(min(1.5, max(0.0, float(heat or 0))), bool(search), bool(pair))

    return Controls((compare, evidence, temperature), wished)


def build_heat(looking: Looking, session: gr.State, panel: gr.HTML) -> None:
    """Put the overlay, and the button that asks for it, under the evidence.

    Args:
        looking: the functions.
        session: the visitor's state.
        panel: what the answer stands on; a new one makes the overlay vanish.
    """
    button = gr.Button("What the answer rests on", size="sm", elem_id="rests")
    heat = gr.HTML("", elem_id="heat", elem_classes="ma-bare", label="What the answer rests on")
    asked = button.click(looking.heat, session, heat, concurrency_id="heat", concurrency_limit=2, **_HIDDEN)
    panel.change(lambda: "", None, heat, cancels=asked, queue=False, **_HIDDEN)
