"""Questions to begin with: the images that ship with the starter, and questions that need none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

TEXT_QUESTIONS: tuple[str, ...] = (
    "What does a pneumothorax look like on a chest X-ray?",
    "How does a benign breast lesion differ from a malignant one on ultrasound?",
)
MOST = 6


@dataclass(frozen=True)
class Example:
    """A question to click on, with an image or without."""

    question: str
    image: Path | None = None


def shipped_examples(folder: Path) -> tuple[Example, ...]:
    """Return the images in a folder with their questions, then questions without an image.

    Args:
        folder: holds images, and `examples.json` with `{"file", "question"}` objects in a list if they have
            questions of their own; may be absent.
    Returns:
        At most `MOST`, those without an image last.
    """
    listed = folder / "examples.json"
    if listed.is_file():
        rows = json.loads(listed.read_text(encoding="utf-8"))
        pictured = [Example(str(row["question"]), folder / str(row["file"])) for row in rows]
    else:
        pictured = [Example("What does this image show?", path) for path in sorted(folder.glob("*.png"))]
    texts = [Example(question) for question in TEXT_QUESTIONS]
    return tuple([*pictured[: MOST - len(texts)], *texts])
