import csv
import io
from html.parser import HTMLParser

import pytest

from assistant.exports.codes import ALL, MODALITIES
from assistant.exports.registry import render


def test_html_fetches_nothing_and_escapes_all(record):
    page = render("html", record).decode()
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.append((tag, dict(attributes)))

    Reader().feed(page)
    tags = [tag for tag, _ in found]
    assert {"script", "link", "iframe"}.isdisjoint(tags)
    sources = [attributes["src"] for tag, attributes in found if tag == "img"]
    assert len(sources) == 1
    assert sources[0].startswith("data:image/png;base64,")
    assert all("alt" in attributes for tag, attributes in found if tag == "img")
    assert "Nodule &lt;6 mm &amp; clear" in page
    assert "Jane" not in page


def test_docx_has_headings_pictures_and_evidence(record):
    docx = pytest.importorskip("docx", reason="python-docx reads the document")
    document = docx.Document(io.BytesIO(render("docx", record)))
    headings = [one.text for one in document.paragraphs if one.style.name.startswith("Heading")]
    assert headings == ["Technique", "Findings", "Impression", "Cautions", "Evidence"]
    assert len(document.inline_shapes) == 1
    text = "\n".join(one.text for one in document.paragraphs)
    assert "Clear lungs. Dark lungs. Source: A card (CC0-1.0)" in text


def test_docx_survives_control_characters(record):
    pytest.importorskip("docx", reason="python-docx writes the document")
    assert render("docx", {**record, "cautions": ["a\x00b\x0bc"]})


def test_pdf_has_text_and_a_picture(record):
    pytest.importorskip("reportlab", reason="writes the PDF")
    pypdf = pytest.importorskip("pypdf", reason="reads the PDF")
    reader = pypdf.PdfReader(io.BytesIO(render("pdf", record)))
    text = " ".join(page.extract_text() for page in reader.pages)
    for words in (
        "Nodule <6 mm & clear | lungs^.",
        "[1] Clear lungs.",
        "fairly high (83 %)",
        "The window was assumed.",
    ):
        assert words in text
    assert sum(len(page.images) for page in reader.pages) == 1


def test_csv_has_one_row_and_no_formula(record):
    record = {**record, "sections": {**record["sections"], "findings": "=HYPERLINK(1)"}}
    (row,) = csv.DictReader(io.StringIO(render("csv", record).decode()))
    assert row["findings"] == "'=HYPERLINK(1)"
    assert row["impression"] == "Nodule."
    assert row["evidence"] == "[1] Clear lungs"


def test_an_input_that_is_gone_costs_its_picture_alone(record):
    page = render("html", {**record, "inputs": ["nowhere/gone.dcm"]}).decode()
    assert "<img" not in page
    assert "Nodule." in page


def test_codes_are_those_of_the_standard():
    from pydicom.sr._concepts_dict import concepts

    for code in ALL:
        known = {value: meaning for word in concepts[code.scheme].values() for value, (meaning, _) in word.items()}
        assert known[code.value] == code.meaning
    modalities = {value for word in concepts["DCM"].values() for value, (_, cids) in word.items() if 29 in cids}
    assert modalities >= MODALITIES


def test_pages_and_rows_show_headings_and_critical_findings(urgent):
    page = render("html", urgent).decode()
    assert "<dt>Critical finding</dt><dd>possible malignancy</dd>" in page
    assert page.index("Specimen") < page.index("Comparison") < page.index("Microscopy") < page.index("Diagnosis")
    (row,) = csv.DictReader(io.StringIO(render("csv", urgent).decode()))
    assert (row["template"], row["critical"], row["comparison"]) == (
        "pathology", "possible malignancy", "The nodule is larger."
    )  # fmt: skip
