"""The header of the page: which model answers, how far it is loaded, and the choice where there are several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.shelf import MAIN
from assistant.ui.models import Models
from assistant.ui.panels import header_html
from assistant.ui.service import AssistantService

_POLL_S = 1.0


@dataclass(frozen=True)
class Choice:
    """What the tabs need of the header."""

    model: gr.State
    """Key of the model that the visitor has chosen."""
    wanted: dict[str, Any] | None
    """Named arguments of an event that loads the chosen model where it made room for another, and shows how far it is;
    None where there is one model alone."""


_HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}


def build_models(service: AssistantService, page: gr.Blocks, dark: str, large: str) -> Choice:
    """Put title, model and looks on the page that is being built.

    Args:
        service: of the page.
        page: that is being built.
        dark: script that changes between dark and light.
        large: script that changes the size of the type.
    Returns:
        What the tabs need of it.
    """
    models = Models(service)
    choice = gr.State(MAIN)
    status = gr.HTML(header_html(service), elem_id="status")
    timer = gr.Timer(_POLL_S)
    names = models.names()
    with gr.Row(elem_classes="ma-looks"):
        menu = gr.Dropdown(
            names,
            value=MAIN,
            label="Model",
            show_label=False,
            container=False,
            elem_id="model",
            scale=0,
            min_width=200,
            visible=bool(names),
            filterable=False,
        )
        gr.Button("Dark or light", size="sm", scale=0, min_width=110).click(None, js=dark)
        gr.Button("Larger type", size="sm", scale=0, min_width=110).click(None, js=large)

    def choose(key: str) -> tuple[str, str, gr.Timer]:
        chosen, header, going = models.choose(key)
        return chosen, header, gr.Timer(_POLL_S, active=going)

    def look(key: str) -> tuple[str, gr.Timer]:
        header, going = models.look(key)
        return header, gr.Timer(_POLL_S, active=going)

    def want(key: str) -> tuple[str, gr.Timer]:
        service.shelf.start(key)
        return look(key)

    wanted = None
    if names:
        menu.input(choose, menu, [choice, status, timer], **_HIDDEN)
        wanted = {"fn": want, "inputs": choice, "outputs": [status, timer], **_HIDDEN}
    timer.tick(look, choice, [status, timer], **_HIDDEN)
    page.load(look, choice, [status, timer], **_HIDDEN)
    return Choice(choice, wanted)
