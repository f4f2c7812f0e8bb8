"""What a corpus may be, and which reader takes it.

- the word `knowledge`: the cards that ship with the project
- `.md`: cards with a YAML head, or plain pages
- `.jsonl`: passages, figures or cases, one a line
- `.pdf`: one passage after another, by page
- `.xml`, `.nxml`, also with `.gz`: MedQuAD, PubMed or full articles (JATS), told apart by their root element
- `.json`: PubMedQA-style abstracts
- a folder with `captions.txt`: figures as in ROCO; with `manifest.jsonl`: cases; any other folder: every file of the
  forms above but `.json`, by name
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from assistant.errors import RetrievalError
from retrieval.passage import Passage
from retrieval.reading import KNOWLEDGE, Faults, ReadOptions, Tally, knowledge_folder

logger = logging.getLogger(__name__)

_XML = (".xml", ".nxml", ".xml.gz", ".nxml.gz")
_FOUND_IN_FOLDERS = (".md", ".jsonl", ".pdf", *_XML)


def source_files(source: str | Path) -> list[Path]:
    """Return the files that a source stands for, in the order in which they are read.

    Args:
        source: a file, a folder, or "knowledge".
    Returns:
        Paths; of a ROCO or manifest folder the one file that names the others.
    Raises:
        RetrievalError: there is no such file or folder, or it is of no form that can be read.
    """
    path = knowledge_folder() if str(source) == KNOWLEDGE else Path(source)
    if path.is_dir():
        for name in ("captions.txt", "manifest.jsonl"):
            if (path / name).is_file():
                return [path / name]
        return sorted(file for file in path.rglob("*") if _is_read(file))
    if path.is_file() and path.name.lower().endswith((*_FOUND_IN_FOLDERS, ".json", "captions.txt")):
        return [path]
    raise RetrievalError(
        f"{source} is no corpus: it takes a folder or a file that exists, .md .jsonl .pdf .xml .nxml .json, "
        f'or the word "{KNOWLEDGE}" for the cards that ship with the project.'
    )


def read_sources(
    sources: Sequence[str | Path], options: ReadOptions, faults: Faults, tally: Tally
) -> Iterator[Passage]:
    """Read corpora one piece after another; no more than one document is held in memory.

    Args:
        sources: each as `source_files` takes it.
        options: length of the chunks, split, and what to put where a record names no licence or source.
        faults: what is wrong is added here; the caller raises.
        tally: what is left out is counted here.
    Yields:
        The pieces in the order of the sources.
    Raises:
        RetrievalError: a source does not exist, or is of no form that can be read.
    """
    files = [
        (Path(source) if str(source) != KNOWLEDGE else knowledge_folder(), source_files(source)) for source in sources
    ]
    for base, found in files:
        for file in found:
            yield from _read_file(base, file, options, faults, tally)


def _read_file(base: Path, file: Path, options: ReadOptions, faults: Faults, tally: Tally) -> Iterator[Passage]:
    name = file.name.lower()
    if name.endswith(".md"):
        from retrieval.cards import read_card

        return iter(read_card(file, base if base.is_dir() else file.parent, options, faults))
    if name.endswith(".jsonl"):
        from retrieval.records import read_jsonl

        return read_jsonl(file, options, faults, tally)
    if name.endswith(".pdf"):
        from retrieval.pdf import read_pdf

        return read_pdf(file, options, faults)
    if name == "captions.txt":
        from retrieval.figures import read_roco

        return read_roco(file, options, faults, tally)
    if name.endswith(".json"):
        from retrieval.pubmed import read_pubmed_json

        return read_pubmed_json(file, options, faults, tally)
    from retrieval.xml_files import read_xml

    return read_xml(file, options, faults, tally)


def _is_read(file: Path) -> bool:
    hidden = file.name.startswith(".")
    return file.is_file() and not hidden and file.name != "README.md" and file.name.lower().endswith(_FOUND_IN_FOLDERS)
