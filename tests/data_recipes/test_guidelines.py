"""Guidelines become passages and questions on their sections."""

from __future__ import annotations

from pathlib import Path

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from assistant.errors import DataError
from data_recipes.build import build_data
from data_recipes.schema import read_examples
from retrieval.corpus import read_corpora

CARD = """---
id: x
---
# Chest drains

Insert them in the safe triangle.

## Removal

- Remove the drain when the lung is **up** and less than 200 ml a day drain.
- Clamp it first for a [day](http://example.org).

## Note

Short.
"""


def pdf(path: Path, *pages: str, title: str | None = None, password: str | None = None) -> None:
    """Write a PDF whose pages show one line of Helvetica each; an empty one shows nothing."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(300, 300)
        if text:
            stream = DecodedStreamObject()
            stream.set_data(f"BT /F1 9 Tf 20 200 Td ({text}) Tj ET".encode())
            page[NameObject("/Contents")] = writer._add_object(stream)
            fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
            page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    if title:
        writer.add_metadata({"/Title": title})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(path)


def build(source: Path, out: Path, **options):
    return build_data("guidelines", source, out, licence="CC BY 4.0", source_name="ward", **options)


def test_markdown_becomes_passages_and_questions_on_its_sections(tmp_path):
    (tmp_path / "in" / "lung").mkdir(parents=True)
    (tmp_path / "in" / "lung" / "drains.md").write_text(CARD, "utf-8")
    assert build(tmp_path / "in", tmp_path / "out", shares="train=1") == {"passages.jsonl": 3, "train.jsonl": 1}
    (one,) = read_examples(tmp_path / "out" / "train.jsonl")
    question, answer = (message["content"] for message in one.messages)
    assert '"Chest drains"' in question
    assert '"Removal"' in question
    assert answer.startswith("Remove the drain when the lung is up and less than 200 ml a day drain.")
    assert (one.id, one.images, one.licence) == ("ward/lung/drains#1", (), "CC BY 4.0")


def test_passages_are_a_corpus_for_the_index(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "drains.md").write_text(CARD, "utf-8")
    pdf(
        tmp_path / "in" / "stroke.pdf", "Image the brain within one hour.", "", "Give lysis early.", title="Stroke care"
    )
    build(tmp_path / "in", tmp_path / "out", shares="train=1")
    passages = read_corpora([tmp_path / "out" / "passages.jsonl"]).passages
    assert [(one.title, one.text) for one in passages][-2:] == [
        ("Stroke care, page 1", "Image the brain within one hour."),
        ("Stroke care, page 3", "Give lysis early."),
    ]
    assert passages[-1].licence == "CC BY 4.0"


def test_all_faults_are_told_at_once(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.txt").write_bytes("größer".encode("latin-1"))
    (source / "b.md").write_text("\n", "utf-8")
    pdf(source / "c.pdf", "", "")
    pdf(source / "d.pdf", "Text", password="x")
    (source / "e.pdf").write_bytes(b"%PDF-1.4 broken")
    with pytest.raises(DataError) as caught:
        build(source, tmp_path / "out")
    told = str(caught.value)
    for fault in (
        "5 faults, nothing was written",
        "a.txt: not UTF-8",
        "b.md: there is no text in it",
        "c.pdf: none of its 2 pages has text, they are scans; run text recognition first",
        "d.pdf: the PDF asks for a password",
        "e.pdf: no PDF that can be read",
    ):
        assert fault in told
    assert not (tmp_path / "out").exists()


def test_a_folder_without_guidelines_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match=r"holds no guideline; give a folder with \.md"):
        build(tmp_path / "in", tmp_path / "out")
