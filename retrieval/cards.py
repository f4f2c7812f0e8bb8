"""Markdown: knowledge cards (a YAML head, one summary sentence, headed sections), and plain pages without a head.

A plain page takes its title from its first heading and its licence from the command line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from retrieval.chunk import chunk_sections, markdown_sections
from retrieval.passage import Passage
from retrieval.reading import Faults, ReadOptions, check_date, check_modality

_HEAD = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n(.*)\Z", re.DOTALL)
_REQUIRED = ("id", "title", "modality", "licence", "references")
_OPTIONAL = ("anatomy", "finding", "synonyms", "source", "date")
CARD_SOURCE = "medassist knowledge card"


def read_card(file: Path, folder: Path, options: ReadOptions, faults: Faults) -> list[Passage]:
    """Read one Markdown file as chunks.

    Args:
        file: a card, or a page without a head.
        folder: the id of a page without a head is its path below this one.
        options: length of the chunks; licence and source of pages without a head.
        faults: what is wrong is added here.
    Returns:
        Chunks with the document's id as parent; the first chunk has the document's own id.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        faults.add(str(file), "file", type(error).__name__, "save it as UTF-8 text that can be read.")
        return []
    match = _HEAD.match(text)
    if not match and options.licence is None:
        mend = "begin the card with a YAML head between two lines of ---, or give --licence for pages without one."
        faults.add(f"{file}:1", "head", text[:20], mend)
        return []
    before = faults.count
    head = _read_head(file, match.group(1), faults) if match else _plain_head(file, folder, text, options)
    modality = check_modality(head.get("modality"), _place(file, text, "modality"), faults)
    date = check_date(head.get("date"), _place(file, text, "date"), faults)
    sections = markdown_sections(match.group(2) if match else text)
    longest = max((section.heading or "" for section in sections), key=len, default="")
    room = options.room(f"{head.get('title', '')} ({longest})")
    chunks = chunk_sections(sections, room, options.count_tokens)
    if not chunks:
        faults.add(str(file), "text", "", "write a summary sentence and the sections below the head.")
    if faults.count > before:
        return []
    return [
        Passage(
            id=head["id"] if number == 0 else f"{head['id']}#{number}",
            kind="passage",
            title=head["title"],
            text=body,
            source=head.get("source", CARD_SOURCE),
            licence=head["licence"],
            modality=modality,
            anatomy=head.get("anatomy"),
            finding=head.get("finding"),
            keywords=tuple(head.get("synonyms") or ()),
            section=section if number else None,
            references=tuple(head["references"]),
            parent=head["id"],
            date=date,
        )
        for number, (section, body) in enumerate(chunks)
    ]


def _plain_head(file: Path, folder: Path, text: str, options: ReadOptions) -> dict[str, Any]:
    name = file.relative_to(folder).with_suffix("").as_posix()
    heading = re.search(r"^#{1,6}\s+(.*?)\s*#*\s*$", text, re.MULTILINE)
    return {
        "id": name,
        "title": heading.group(1) if heading else file.stem.replace("-", " ").replace("_", " "),
        "licence": options.licence,
        "source": options.source or name,
        "references": [],
    }


def _read_head(file: Path, source: str, faults: Faults) -> dict[str, Any]:
    import yaml

    try:
        head = yaml.safe_load(source)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        faults.add(
            f"{file}:{line}", "head", getattr(error, "problem", ""), "write it as YAML; quote text with a colon."
        )
        return {}
    if not isinstance(head, dict):
        faults.add(f"{file}:2", "head", head, "write it as `name: value` lines.")
        return {}
    text = f"---\n{source}"
    for name in _REQUIRED:
        if not head.get(name):
            faults.add(f"{file}:1", name, head.get(name), "every card needs it.")
    for name, value in head.items():
        place = _place(file, text, str(name))
        if name not in (*_REQUIRED, *_OPTIONAL):
            faults.add(place, str(name), value, f"no such field; use {', '.join((*_REQUIRED, *_OPTIONAL))}.")
        elif name in ("synonyms", "references"):
            if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
                faults.add(place, name, value, "write a list of quoted texts.")
        elif name != "date" and value is not None and not isinstance(value, str):
            faults.add(place, name, value, "write it as text, in quotes.")
    if head.get("id") and head["id"] != file.stem:
        faults.add(_place(file, text, "id"), "id", head["id"], f"make it the file's name, {file.stem}.")
    return head


def _place(file: Path, text: str, name: str) -> str:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(f"{name}:"):
            return f"{file}:{number}"
    return f"{file}:1"
