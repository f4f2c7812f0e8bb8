"""MedQuAD: questions of the public with answers from NIH sites, one XML file a topic.

Source: Ben Abacha, Demner-Fushman. A question-entailment approach to question answering. BMC Bioinformatics 2019.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.xml_text import inner_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LICENCE = "CC-BY-4.0"
_BULLET = re.compile(r"\s+-\s+(?=[A-Z])")


def medquad_records(root: Element, path: Path) -> Iterator[dict[str, Any]]:
    """Give each question and answer of one document as a record.

    Args:
        root: its `Document` element.
        path: of the file.
    Yields:
        The fields of a JSONL record; `text` is empty where the answer was withheld for its copyright.
    """
    focus = inner_text(root.find("Focus")) or path.stem
    publisher = root.get("source") or "MedQuAD"
    names = [inner_text(item) for item in root.iterfind(".//FocusAnnotations/Synonyms/Synonym")]
    for number, pair in enumerate(root.iterfind(".//QAPair"), start=1):
        question = pair.find("Question")
        yield {
            "id": f"medquad-{(question.get('qid') if question is not None else None) or f'{path.stem}-{number}'}",
            "title": focus,
            "text": _BULLET.sub(" ", inner_text(pair.find("Answer"))),
            "question": inner_text(question),
            "keywords": [name for name in names if name],
            "source": f"MedQuAD, {publisher}" + (f", {root.get('url')}" if root.get("url") else ""),
            "licence": LICENCE,
        }
