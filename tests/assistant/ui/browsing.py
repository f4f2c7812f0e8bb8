"""What the browser tests share: a page with evidence, a browser, and what a person does with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CARDS = """---
id: {id}
title: "{title}"
modality: X-ray
anatomy: chest
finding: {finding}
synonyms: []
licence: Apache-2.0
references:
  - "Author A. A work. Publisher, 2001."
---
{text}
"""
TEXTS = {
    "pneumothorax": "A pneumothorax on a chest X-ray appears as a thin white line without lung markings beyond it.",
    "effusion": "A pleural effusion on a chest X-ray blunts the costophrenic angle and forms a meniscus.",
}
TIMEOUT_MS = 120_000
"""Long, for machines that are busy with something else."""
ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]


def is_own(url: str, base: str) -> bool:
    """Whether a request stays on the page's own server."""
    return url.startswith((base, "data:", "blob:"))


def jpeg(folder: Path) -> Path:
    """Make an image to upload."""
    path = folder / "scan.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48), dtype=np.uint8)).save(path)
    return path


def ask(tab: Any, question: str, image: Path | None = None) -> Any:
    """Ask as a person does; returns the message that the answer is written into."""
    if image is not None:
        tab.locator("#question input[type=file]").set_input_files(str(image))
        tab.locator("#question .thumbnail-item").first.wait_for()
    box = tab.get_by_placeholder("Ask about")
    box.fill(question)
    before = tab.locator("#conversation .bot").count()
    box.press("Enter")
    answer = tab.locator("#conversation .bot").nth(before)
    answer.wait_for()
    return answer


def add_study(tab: Any, *files: Path) -> None:
    """Turn to the report tab and upload a study, as far as that the page offers to take it away again.

    The name in the list is drawn in pieces, which are not always one text to look for.
    """
    tab.get_by_role("tab", name="Report").click()
    tab.locator("#study input[type=file]").first.set_input_files([str(one) for one in files])
    tab.locator("#study").get_by_label("Clear").first.wait_for()
