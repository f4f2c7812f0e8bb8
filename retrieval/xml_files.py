"""XML corpora, told apart by their root element: MedQuAD questions, PubMed records, full articles (JATS).

Read with external entities and entity expansion refused, element by element, so that a file of any size takes the
memory of one article.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast
from xml.etree.ElementTree import ParseError

from retrieval.medquad import medquad_records
from retrieval.passage import Passage
from retrieval.pubmed import jats_records, pubmed_record
from retrieval.reading import Faults, ReadOptions, Tally

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Records = Iterator[dict[str, Any]]


def read_xml(path: Path, options: ReadOptions, faults: Faults, tally: Tally) -> Iterator[Passage]:
    """Read one XML file, packed with gzip or not, as passages.

    Args:
        path: the file.
        options: length of the chunks; licence and source where the file names none.
        faults: what is wrong is added here.
        tally: articles without an abstract and answers that were withheld are counted as empty.
    Yields:
        The passages, in the order of the file.
    """
    import defusedxml.ElementTree as safe
    from defusedxml import DefusedXmlException

    from retrieval.records import passages_of

    try:
        with _open(path) as stream:
            for number, record in enumerate(_records(safe.iterparse(stream, events=("start", "end")), path), start=1):
                if not record.get("text"):
                    tally.empty += 1
                    continue
                yield from passages_of(record, f"{path} record {number}", path.parent, options, faults)
    except DefusedXmlException as error:
        faults.add(str(path), "file", type(error).__name__, "take its entity definitions out.")
    except ParseError as error:
        faults.add(f"{path}:{error.position[0]}", "file", str(error), "save it as well-formed XML.")
    except (OSError, EOFError, ValueError) as error:
        faults.add(str(path), "file", str(error), "give a MedQuAD, PubMed or JATS file.")


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _records(events: Iterator[tuple[str, Element]], path: Path) -> Records:
    """Give each article or question as the fields of a JSONL record."""
    event, root = next(events)
    whole: dict[str, Callable[[Element, Path], Records]] = {"Document": medquad_records, "article": jats_records}
    if root.tag in whole:
        for _ in events:
            pass
        yield from whole[root.tag](root, path)
    elif root.tag in ("PubmedArticleSet", "PubmedArticle", "MedlineCitationSet"):
        for event, element in events:
            if event == "end" and element.tag == "MedlineCitation":
                yield pubmed_record(element)
                root.clear()  # what was read is let go of
    else:
        raise ValueError(f"its root is <{root.tag}>")
