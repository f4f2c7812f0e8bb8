"""Every form of corpus, from small files written here."""

from __future__ import annotations

import gzip
import json

import pytest
from PIL import Image

from assistant.errors import RetrievalError
from retrieval.pdf import clean_pages
from retrieval.reading import Faults, ReadOptions, Tally
from retrieval.sources import read_sources

MEDQUAD = """<?xml version="1.0"?>
<Document id="1" source="CancerGov" url="https://example.org/leukaemia"><Focus>Leukaemia</Focus>
<FocusAnnotations><Synonyms><Synonym>blood cancer</Synonym></Synonyms></FocusAnnotations><QAPairs>
<QAPair pid="1"><Question qid="1-1" qtype="information">What is leukaemia?</Question>
<Answer>Key points
   - Leukaemia is a cancer of the blood.   - It starts in the marrow.</Answer></QAPair>
<QAPair pid="2"><Question qid="1-2" qtype="treatment">How is it treated?</Question><Answer/></QAPair>
</QAPairs></Document>"""

PUBMED = """<?xml version="1.0"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle//EN" "https://example.org/pubmed.dtd">
<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>11</PMID><Article>
<Journal><JournalIssue><PubDate><Year>2020</Year><Month>Mar</Month><Day>9</Day></PubDate></JournalIssue>
<Title>A journal</Title></Journal><ArticleTitle>On <i>effusion</i>.</ArticleTitle><Abstract>
<AbstractText Label="BACKGROUND">Fluid is common.</AbstractText><AbstractText>It drains.</AbstractText></Abstract>
</Article>
<MeshHeadingList><MeshHeading><DescriptorName>Pleura</DescriptorName></MeshHeading></MeshHeadingList></MedlineCitation>
</PubmedArticle><PubmedArticle><MedlineCitation><PMID>12</PMID>
<Article><ArticleTitle>No abstract</ArticleTitle></Article>
</MedlineCitation></PubmedArticle></PubmedArticleSet>"""

JATS = """<?xml version="1.0"?>
<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><journal-meta><journal-title>Open Journal</journal-title>
</journal-meta><article-meta><article-id pub-id-type="pmc">77</article-id>
<title-group><article-title>A case</article-title></title-group><pub-date><year>2019</year></pub-date><permissions>
<license xlink:href="https://creativecommons.org/licenses/by/4.0/"/></permissions>
<abstract><p>We saw fluid.</p></abstract></article-meta></front>
<body><sec><title>Methods</title><p>We looked twice.</p></sec></body>
<back/><floats-group><fig><caption><p>A white chest.</p></caption><graphic xlink:href="f1"/></fig>
<fig><caption><p>A black chest.</p></caption><graphic xlink:href="gone"/></fig></floats-group></article>"""


def read(*sources, **options):
    faults, tally = Faults(), Tally()
    found = list(read_sources(sources, ReadOptions(**options), faults, tally))
    faults.raise_if_any()
    return found, tally


def test_medquad_answers_become_passages_and_withheld_ones_are_counted(tmp_path):
    (tmp_path / "1.xml").write_text(MEDQUAD)
    found, tally = read(tmp_path)
    assert [(one.id, one.title, one.licence) for one in found] == [("medquad-1-1", "Leukaemia", "CC-BY-4.0")]
    assert found[0].text == "Key points Leukaemia is a cancer of the blood. It starts in the marrow."
    assert found[0].source == "MedQuAD, CancerGov, https://example.org/leukaemia"
    assert found[0].keywords == ("blood cancer", "What is leukaemia?")
    assert tally.empty == 1


@pytest.mark.parametrize("packed", [False, True])
def test_pubmed_records_keep_number_date_and_headings(tmp_path, packed):
    path = tmp_path / ("p.xml.gz" if packed else "p.xml")
    path.write_bytes(gzip.compress(PUBMED.encode()) if packed else PUBMED.encode())
    (one,), tally = read(path, licence="public abstract")
    assert (one.id, one.title, one.date) == ("pmid-11", "On effusion", "2020-03-09")
    assert one.text == "Background: Fluid is common. It drains."
    assert (one.source, one.references, one.keywords) == ("PubMed 11, A journal", ("PMID 11",), ("Pleura",))
    assert tally.empty == 1
    with pytest.raises(RetrievalError, match="licence is None; every record needs it, or give --licence"):
        read(path)


def test_a_full_article_gives_abstract_sections_and_figures_under_its_own_licence(tmp_path):
    (tmp_path / "a.nxml").write_text(JATS)
    Image.new("RGB", (8, 8)).save(tmp_path / "f1.jpg")
    found, _ = read(tmp_path)
    assert [(one.id, one.kind, one.section) for one in found] == [
        ("PMC77", "passage", None),
        ("PMC77#s1", "passage", "Methods"),
        ("PMC77#f1", "figure", None),
        ("PMC77#f2", "passage", None),
    ]
    assert {(one.licence, one.date) for one in found} == {("CC-BY-4.0", "2019")}
    assert found[2].text == "A white chest."


def test_pubmedqa_contexts_become_abstracts_without_their_answers(tmp_path):
    record = {"QUESTION": "Does it drain?", "CONTEXTS": ["It did."], "LABELS": ["RESULTS"], "YEAR": "2011"}
    (tmp_path / "q.json").write_text(json.dumps({"5": {**record, "LONG_ANSWER": "Secret."}}))
    (one,), _ = read(tmp_path / "q.json", licence="MIT")
    assert (one.id, one.text, one.date) == ("pmid-5", "Results: It did.", "2011")
    (tmp_path / "q.json").write_text("[1]")
    with pytest.raises(RetrievalError, match="file is 'list'; give {pmid: {\"CONTEXTS\""):
        read(tmp_path / "q.json", licence="MIT")


def test_roco_captions_become_figures_where_the_picture_is_there(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "R1.jpg")
    (tmp_path / "captions.txt").write_text("R1\tA white chest.\nR2\tA black chest.\nR3\t\n")
    (tmp_path / "licences.txt").write_text("R1\tPMC1\tCC BY\n")
    found, tally = read(tmp_path, licence="unknown")
    assert [(one.id, one.kind, one.licence) for one in found] == [
        ("roco-R1", "figure", "CC BY"),
        ("roco-R2", "passage", "unknown"),
    ]
    assert tally.empty == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<Document><Focus>", r"x\.xml:1: file is .*save it as well-formed XML"),
        ("<html/>", r"its root is <html>.*give a MedQuAD, PubMed or JATS file"),
        (
            '<!DOCTYPE d [<!ENTITY a "b">]><Document>&a;</Document>',
            "EntitiesForbidden.*take its entity definitions out",
        ),
    ],
)
def test_xml_that_cannot_be_used_is_named(tmp_path, text, message):
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(RetrievalError, match=message):
        read(tmp_path)


def pdf(path, pages, password=None):
    """Write a PDF of Helvetica lines with pypdf's own objects."""
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    kind = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    font = DictionaryObject({NameObject(name): NameObject(value) for name, value in kind.items()})
    for lines in pages:
        page = writer.add_blank_page(width=300, height=300)
        drawn = DecodedStreamObject()
        drawn.set_data(
            b"BT /F1 12 Tf 20 280 Td 14 TL " + b"".join(b"(%s) Tj T* " % one.encode() for one in lines) + b"ET"
        )
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        page[NameObject("/Contents")] = writer._add_object(drawn)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(path)


def test_a_pdf_is_read_by_page_with_its_licence_given(tmp_path):
    path = tmp_path / "chest-guide.pdf"
    pdf(path, [["Effusion is fluid.", "It blunts the angle."], ["Air rises."]])
    found, _ = read(path, licence="CC0-1.0")
    assert [(one.id, one.heading, one.text) for one in found] == [
        ("chest-guide", "chest guide (page 1)", "Effusion is fluid. It blunts the angle."),
        ("chest-guide#1", "chest guide (page 2)", "Air rises."),
    ]
    assert found[1].source == "chest guide, page 2"
    with pytest.raises(RetrievalError, match="licence is None; a PDF states none: give --licence"):
        read(path)


def test_a_pdf_that_cannot_be_read_says_why(tmp_path):
    pdf(tmp_path / "pictures.pdf", [[]])
    with pytest.raises(RetrievalError, match="its pages are pictures: run text recognition"):
        read(tmp_path / "pictures.pdf", licence="CC0-1.0")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(RetrievalError, match="save it as a whole PDF"):
        read(tmp_path / "broken.pdf", licence="CC0-1.0")


def test_running_heads_and_cut_words_are_mended():
    words = ("effusion", "fracture", "cyst", "oedema")
    pages = [
        f"A Guide to Chests\nAn {word} with a pneumo-\nthorax and {word}\nPage {n} of 9" for n, word in enumerate(words)
    ]
    assert clean_pages(pages)[1] == "An fracture with a pneumothorax and fracture"
    assert clean_pages(pages[:2])[1].startswith("A Guide"), "two pages are too few to tell what runs"


def test_plain_markdown_takes_its_title_from_the_first_heading(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "drains.md").write_text("# On drains\n\nA drain drains. \n")
    (one,), _ = read(tmp_path, licence="CC0-1.0", source="Our notes")
    assert (one.id, one.title, one.text, one.source) == ("notes/drains", "On drains", "A drain drains.", "Our notes")
    with pytest.raises(RetrievalError, match="or give --licence for pages without one"):
        read(tmp_path)


def test_a_manifest_folder_gives_its_cases(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    case = {"id": "c", "image": "a.png", "report": "Clear.", "source": "S", "licence": "CC0-1.0", "date": "2020-13"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(case))
    with pytest.raises(RetrievalError, match="date is '2020-13'; write it as 2021, 2021-03"):
        read(tmp_path)
    (tmp_path / "manifest.jsonl").write_text(json.dumps({**case, "date": "2020-12"}))
    assert [(one.kind, one.date) for one in read(tmp_path)[0]] == [("case", "2020-12")]
