"""The `guidelines` recipe: a folder of Markdown, text or PDF guidelines becomes passages to search and text examples.

`passages.jsonl` is a corpus for `python -m retrieval.build`. The examples ask for a section by the document's title
and the section's heading, and answer with the section's words; nothing is invented. Splits are by document.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from data_recipes.own import FaultList, Options, add_common_options, needed_licence, split_files
from data_recipes.schema import Example
from data_recipes.splits import assign_split, group_key, read_shares

logger = logging.getLogger(__name__)

PASSAGES = "passages.jsonl"
SUFFIXES = (".md", ".markdown", ".txt", ".pdf")
PASSAGE_WORDS = 180
"""Longest passage."""
ANSWER_WORDS = 160
"""Longest answer; what a section says beyond it is left to the search."""
LEAST_WORDS = 6
"""Sections with fewer words make no example."""
_HEAD = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
_TITLE = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)
_HYPHEN = re.compile(r"(\w)-\n(\w)")
_QUESTIONS = (
    "What does {title} say on {heading}?",
    "According to {title}, what holds for {heading}?",
    "Summarise the section {heading} of {title}.",
)


@dataclass(frozen=True)
class Document:
    """One guideline."""

    name: str
    """Path from the source folder, without the ending; the key that splits and ids are made of."""
    title: str
    sections: tuple[tuple[str | None, str], ...]
    """Heading, or None before the first, and plain text; of a PDF "page 3" and the page's text."""


def add_options(options: Options) -> None:
    """Add this recipe's options.

    Args:
        options: of the command line.
    """
    add_common_options(options)


def build(
    source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False, **options: Any
) -> dict[str, int]:
    """Turn guidelines into passages and text examples.

    Args:
        source: a folder with .md, .txt or .pdf files at any depth, or one such file.
        out: folder to write `passages.jsonl` and `<split>.jsonl` into.
        limit: at most this many documents.
        seed: decides splits and wording.
        link: not used.
        **options: as `add_options` names them.
    Returns:
        File name to its number of records.
    Raises:
        DataError: there is no such file, or files cannot be read; names the first twenty faults.
    """
    del link
    licence, shares, name = needed_licence(options["licence"]), read_shares(options["shares"]), options["source_name"]
    root = source if source.is_dir() else source.parent
    found = sorted(source.rglob("*")) if source.is_dir() else [source]
    files = [path for path in found if path.suffix.lower() in SUFFIXES and path.is_file()][:limit]
    if not files:
        raise DataError(f"{source} holds no guideline; give a folder with {', '.join(SUFFIXES)} files.")
    faults = FaultList()
    documents = [document for path in files if (document := _read(path, root, faults)) is not None]
    faults.raise_if_any(source)
    passages = [record for document in documents for record in _passages(document, name, licence)]
    with (out / PASSAGES).open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in passages)
    with split_files(out) as writer:
        for document in documents:
            split = assign_split(group_key(article=document.name), seed, shares)
            for example in _examples(document, name, licence, seed):
                writer.add(split, example)
        return {PASSAGES: len(passages), **writer.counts}


def _read(path: Path, root: Path, faults: FaultList) -> Document | None:
    """Read one file; None and a fault where it has no text."""
    name = path.relative_to(root).with_suffix("").as_posix()
    if path.suffix.lower() == ".pdf":
        return _read_pdf(path, name, faults)
    from retrieval.chunk import markdown_sections

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        faults.add(str(path), f"not UTF-8 ({error.reason}); save it as UTF-8.")
        return None
    text = _HEAD.sub("", text, count=1)
    titled = _TITLE.search(text)
    title = titled[1] if titled else path.stem.replace("_", " ").replace("-", " ")
    sections = tuple((None if part.heading == title else part.heading, part.text) for part in markdown_sections(text))
    if not sections:
        faults.add(str(path), "there is no text in it; write some, or take the file away.")
        return None
    return Document(name, title, sections)


def _read_pdf(path: Path, name: str, faults: FaultList) -> Document | None:
    """Read a PDF page by page with pypdf."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # small faults of the file that it mends by itself
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            faults.add(str(path), "the PDF asks for a password; save it without one.")
            return None
        pages = [_HYPHEN.sub(r"\1\2", page.extract_text() or "") for page in reader.pages]
        title = str((reader.metadata.title if reader.metadata else None) or "").strip()
    except (PyPdfError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        faults.add(str(path), f"no PDF that can be read ({type(error).__name__}); save or print it anew as PDF.")
        return None
    sections = tuple((f"page {number}", " ".join(page.split())) for number, page in enumerate(pages, 1) if page.strip())
    if not sections:
        faults.add(str(path), f"none of its {len(pages)} pages has text, they are scans; run text recognition first.")
        return None
    return Document(name, title or path.stem.replace("_", " ").replace("-", " "), sections)


def _passages(document: Document, source: str, licence: str) -> Iterator[dict[str, Any]]:
    """Yield the passages of a document in the form that `retrieval` reads."""
    from retrieval.chunk import split_text

    number = 0
    for heading, text in document.sections:
        for piece in split_text(text, PASSAGE_WORDS, lambda part: len(part.split())):
            yield {
                "id": f"{source}/{document.name}#{number}",
                "title": f"{document.title}, {heading}" if heading else document.title,
                "text": piece,
                "source": source,
                "licence": licence,
                "references": [f"{document.title} ({document.name})"],
            }
            number += 1


def _examples(document: Document, source: str, licence: str, seed: int) -> Iterator[Example]:
    """Yield one question a section that has a heading of its own; pages of a PDF have none."""
    import random

    from retrieval.chunk import split_text

    rng = random.Random(f"{seed}/{document.name}")
    for number, (heading, text) in enumerate(document.sections):
        if heading is None or re.fullmatch(r"page \d+", heading) or len(text.split()) < LEAST_WORDS:
            continue
        answer = split_text(text, ANSWER_WORDS, lambda part: len(part.split()))[0]
        question = rng.choice(_QUESTIONS).format(title=f'"{document.title}"', heading=f'"{heading}"')
        yield Example(
            id=f"{source}/{document.name}#{number}",
            images=(),
            messages=[{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            task="chat",
            answer_type="open",
            patient=None,
            source=source,
            licence=licence,
        )
