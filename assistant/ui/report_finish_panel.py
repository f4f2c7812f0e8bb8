"""The controls under a draft: what was changed, accept, write out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from assistant.feedback.records import NOTICE
from assistant.ui.changes import NO_DRAFT
from assistant.ui.judging import PICTURE_CONSENT
from assistant.ui.report_finish import Finishing, format_choices
from assistant.ui.service import AssistantService

_HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
DOWNLOAD = """(text) => {
  if (!text) { return; }
  const file = JSON.parse(text);
  const bytes = Uint8Array.from(atob(file.data), one => one.charCodeAt(0));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], {type: file.kind}));
  link.download = file.name;
  link.click();
  URL.revokeObjectURL(link.href);
}"""


def build_finish(
    service: AssistantService, draft: gr.State, sections: list[gr.Textbox]
) -> tuple[Callable[..., tuple[str, str]], list[Any]]:
    """Put the controls under the sections.

    Args:
        service: of the page.
        draft: holds the `Draft`.
        sections: the three boxes.
    Returns:
        Function of a draft and its three sections that tells what stands there, and where that is shown.
    """
    tab = Finishing(service)
    takes = service.feedback is not None
    with gr.Accordion("Changes to the draft", open=True, elem_id="changes"):
        changes = gr.HTML(NO_DRAFT, elem_classes="ma-bare", label="Changes to the draft")
    with gr.Accordion("Keep draft and accepted text, to learn from (optional)", open=False, visible=takes):
        gr.HTML(f"<p class='ma-empty'>{NOTICE}</p>")
        keep = gr.Checkbox(False, label="Keep both when I accept", elem_id="keep-report")
        consent = gr.Checkbox(False, label=PICTURE_CONSENT, elem_id="keep-report-pixels")
    with gr.Row():
        accept = gr.Button("Accept this text", variant="primary", elem_id="accept", scale=1)
        formats = gr.Dropdown(format_choices(), value="md", label="Write as", elem_id="format", scale=2, min_width=180)
        save = gr.Button("Download", elem_id="download", scale=1)
    state = gr.HTML("", elem_classes="ma-bare", elem_id="accepted", label="Whether the text is accepted")
    told = gr.HTML("", elem_classes="ma-bare", elem_id="report-kept", label="What became of the feedback")
    file = gr.Textbox(visible=False)

    gr.on(
        [event for one in sections for event in (one.input, one.blur)], tab.look, [draft, *sections], [changes, state],
        trigger_mode="always_last", **_HIDDEN,
    )  # fmt: skip
    accept.click(tab.accept, [draft, keep, consent, *sections], [draft, state, told], **_HIDDEN)
    # Queued: the library shows an error of what is not queued to nobody.
    save.click(tab.export, [draft, formats, *sections], file, **{**_HIDDEN, "queue": True}).success(
        None, file, None, js=DOWNLOAD, **_HIDDEN
    )
    return tab.look, [changes, state]
