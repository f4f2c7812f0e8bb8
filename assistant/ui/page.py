"""The page: a notice that stays in view, the model's state, and two tabs."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

import assistant
from assistant.ui.conversation_tab import build_conversation_tab
from assistant.ui.examples import shipped_examples
from assistant.ui.models_panel import build_models
from assistant.ui.panels import notice_html
from assistant.ui.repair import REPAIR
from assistant.ui.report_tab import build_report_tab
from assistant.ui.service import AssistantService

TITLE = "Medical image assistant"
DARK = "() => { document.body.classList.toggle('dark'); }"
LARGE = "() => { document.documentElement.classList.toggle('ma-large'); }"
"""Until the page is loaded anew: nothing is kept in the browser."""
_FORGET_S = (600, 3600)
"""How often, and after how long, files that the page has shown are deleted."""


def build_page(service: AssistantService, *, signed_in: bool = False) -> gr.Blocks:
    """Return the page; nothing on it needs the model before the first question.

    Args:
        service: answers and drafts.
        signed_in: whether visitors sign in, and so may sign out.
    Returns:
        The page, not yet served.
    """
    examples = shipped_examples(Path(assistant.__file__).parent / "starter" / "examples")
    page: gr.Blocks
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=_FORGET_S, fill_width=True) as page:
        gr.HTML(notice_html(), elem_id="notice")
        choice = build_models(service, page, DARK, LARGE)
        if signed_in:
            gr.HTML("<p class='ma-empty'><a href='/logout'>Sign out</a></p>", elem_id="leave")
        with gr.Tabs():
            with gr.Tab("Ask", id="ask"):
                build_conversation_tab(service, examples, choice)
            with gr.Tab("Report", id="report"):
                build_report_tab(service, choice)
        page.load(None, js=REPAIR)
    page.queue(max_size=64, default_concurrency_limit=4)
    return page
