"""PDF → passages by page: lines that stand on most pages (running heads, page numbers) and hyphens at line ends go."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from retrieval.chunk import split_text
from retrieval.passage import Passage
from retrieval.reading import Faults, ReadOptions

_HYPHEN = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
_DIGITS = re.compile(r"\d+")
_EDGE_LINES = 2
_FEWEST_PAGES = 3


def read_pdf(path: Path, options: ReadOptions, faults: Faults) -> Iterator[Passage]:
    """Read one PDF.

    Args:
        path: the file; its pages must hold text, not pictures of text.
        options: length of the chunks; the licence, which no PDF states in a form that can be read.
        faults: what is wrong is added here.
    Yields:
        Chunks with the page as section; the file is the parent.
    """
    if options.licence is None:
        faults.add(str(path), "licence", None, "a PDF states none: give --licence.")
        return
    try:
        title, pages = _read(path)
    except _pdf_errors() as error:
        faults.add(str(path), "file", str(error)[:60] or type(error).__name__, "save it as a whole PDF.")
        return
    if pages is None:
        faults.add(str(path), "file", "encrypted", "save it without a password.")
        return
    if not any(pages):
        faults.add(str(path), "text", "", "its pages are pictures: run text recognition (OCR) on it first.")
        return
    number = 0
    for page, text in enumerate(pages, start=1):
        for piece in split_text(text, options.room(f"{title} (page {page})"), options.count_tokens):
            yield Passage(
                id=path.stem if number == 0 else f"{path.stem}#{number}",
                kind="passage",
                title=title,
                text=piece,
                source=f"{options.source or title}, page {page}",
                licence=options.licence,
                section=f"page {page}",
                parent=path.stem,
            )
            number += 1


def _read(path: Path) -> tuple[str, list[str] | None]:
    """Return the title and the plain text of each page; None for pages that need a password."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of every small break of the standard
    reader = PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        return path.stem, None
    given = str(reader.metadata.title or "").strip() if reader.metadata else ""
    title = given or path.stem.replace("-", " ").replace("_", " ")
    return title, clean_pages([page.extract_text() or "" for page in reader.pages])


def _pdf_errors() -> tuple[type[Exception], ...]:
    from pypdf.errors import PyPdfError

    return (PyPdfError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def clean_pages(pages: list[str]) -> list[str]:
    """Take away what repeats at the edges of pages, join words cut at line ends, and join lines.

    Args:
        pages: the text of each page, as lines.
    Returns:
        One paragraph of sentences a page.
    """
    lines = [[line.strip() for line in page.splitlines() if line.strip()] for page in pages]
    edges: Counter[str] = Counter()
    for page in lines:
        edges.update({_shape(line) for line in page[:_EDGE_LINES] + page[-_EDGE_LINES:]})
    repeated = {shape for shape, count in edges.items() if count >= _FEWEST_PAGES and count > len(pages) / 2}
    cleaned = []
    for page in lines:
        last = len(page) - _EDGE_LINES
        kept = [
            line
            for row, line in enumerate(page)
            if not ((row < _EDGE_LINES or row >= last) and _shape(line) in repeated)
        ]
        cleaned.append(" ".join(_HYPHEN.sub("", "\n".join(kept)).split()))
    return cleaned


def _shape(line: str) -> str:
    """A line with its numbers made equal: `12 of 40` and `13 of 40` are one running foot."""
    return _DIGITS.sub("0", line)
