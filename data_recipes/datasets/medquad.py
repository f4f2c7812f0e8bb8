"""MedQuAD: questions and answers from pages of the National Institutes of Health, as XML.

Three of its sources had their answers taken out for copyright; these questions are left out and counted. Split by
topic (`Focus`), as several sources ask the same of one disease.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from assistant.errors import DataError
from data_recipes.datasets.convert import recipe
from data_recipes.datasets.files import need_files
from data_recipes.datasets.parts import Part, Skip
from data_recipes.datasets.pictures import Pictures
from data_recipes.datasets.row import Row, check_file
from data_recipes.datasets.words import example, qa
from data_recipes.schema import Example

NAME = "medquad"


def parts(source: Path) -> list[Part]:
    """Return the questions of all documents, to be split by topic."""
    files = need_files(NAME, source, "*_QA/*.xml", "*/*_QA/*.xml", "*.xml")
    return [Part(None, lambda: (row for path in files for row in read_document(path)))]


def read_document(path: Path) -> Iterator[Row]:
    """Yield the questions of a document, or one row with a fault where it is broken."""
    check_file(path)
    try:
        root = parse_xml(path.read_bytes())
    except (expat.ExpatError, DataError) as error:
        yield Row(f"{path.parent.name}/{path.name}", getattr(error, "lineno", 1), {}, fault=f"{error}; mend the file.")
        return
    fields: dict[str, Any] = {"source": root.get("source"), "url": root.get("url"), "focus": root.findtext("Focus")}
    for number, pair in enumerate(root.iter("QAPair"), 1):
        question, answer = pair.find("Question"), pair.find("Answer")
        asked = {} if question is None else {"question": question.text, **question.attrib}
        told = None if answer is None else answer.text
        yield Row(f"{path.parent.name}/{path.name}", number, {**fields, **asked, "answer": told}, "question")


def parse_xml(data: bytes) -> Element:
    """Parse XML without document types, so that no entity can be defined: neither large ones nor other files.

    Args:
        data: a document.
    Returns:
        Its root.
    Raises:
        DataError: it declares a document type.
        ExpatError: it is no XML.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise DataError("the document declares a type (DOCTYPE), which could hide other files in it")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(data, True)
    return builder.close()


def examples(row: Row, pictures: Pictures) -> Iterator[Example]:
    """Yield the example of one question; space within a line of an answer is drawn together."""
    lines = [" ".join(line.split()) for line in (row.maybe("answer") or "").splitlines()]
    answer = "\n".join(line for line in lines if line)
    if not answer:
        raise Skip("its publisher had the answer taken out")
    focus = row.maybe("focus")
    yield example(
        NAME,
        row.text("qid"),
        (),
        qa(row.text("question"), answer),
        "chat",
        "open",
        patient=focus.lower() if focus else None,
        truth=row.about("source", "url", "qtype", "focus"),
    )


build, add_options = recipe(NAME, parts, examples)
