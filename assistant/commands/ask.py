"""`ask`: one question, one answer, on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

from assistant.commands.opened import Opener
from assistant.config import AssistantConfig
from assistant.conversation import NOT_FOR_CLINICAL_USE, Answer, Question
from assistant.errors import ImageError
from assistant.exports.wording import confidence_phrase
from assistant.imaging.images import load_images

SHOWN = 240
"""Characters of each passage in plain output; `--json` has it whole."""


def run_ask(
    config: AssistantConfig,
    open_assistant: Opener,
    *,
    images: Sequence[str],
    question: str,
    frame: int | None = None,
    window: tuple[float, float] | str | None = None,
    as_json: bool = False,
) -> int:
    """Answer one question about some images, or about none, and write the answer to stdout.

    Args:
        config: which model and index.
        open_assistant: loads them.
        images: paths of pictures, NIfTI volumes or folders with a DICOM series.
        question: what is asked.
        frame: which frame of a multi-frame file, from 0.
        window: centre and width in the file's units, or a window's name.
        as_json: write one JSON object instead of text.
    Returns:
        0; an abstention is an answer too.
    Raises:
        ImageError: an image is missing or unreadable.
    """
    for path in images:
        if not Path(path).exists():
            raise ImageError(f"{path} does not exist. Check the path; a name with spaces needs quotes.")
    # Pictures first: a broken one is told at once, before the seconds that a model takes to load.
    pictures = tuple(one for path in images for one in load_images(path, frame=frame, window=window))
    opened = open_assistant(config)
    answer = opened.assistant.answer(Question(question, pictures))
    sys.stdout.write(json.dumps(answer.to_dict(), ensure_ascii=False) if as_json else answer_text(answer))
    sys.stdout.write("\n")
    return 0


def answer_text(answer: Answer) -> str:
    """Return an answer as plain text: what it says, how sure it is, its evidence and its cautions."""
    lines = [answer.text, "", f"Confidence: {confidence_phrase(answer.confidence, answer.abstained)}"]
    if answer.slices:
        lines += ["", "Slices read:"]
        lines += [f"  - {note.section.text} of {note.section.series}, {note.why}" for note in answer.slices]
    if answer.evidence:
        lines += ["", "Evidence:"]
        for number, item in enumerate(answer.evidence, start=1):
            lines += [f"  [{number}] {item.title}: {shorten(item.text, SHOWN, placeholder=' …')}"]
            lines += [f"      {item.source} ({item.licence})"]
    if answer.cautions:
        lines += ["", "Cautions:", *(f"  - {caution}" for caution in answer.cautions)]
    if NOT_FOR_CLINICAL_USE not in answer.cautions:
        lines += ["", NOT_FOR_CLINICAL_USE]
    return "\n".join(lines)
