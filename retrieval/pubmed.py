"""Abstracts and articles: PubMed XML, full articles in JATS with their figures' captions, PubMedQA-style JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.passage import Passage
from retrieval.reading import Faults, ReadOptions, Tally
from retrieval.xml_text import inner_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_HREF = "{http://www.w3.org/1999/xlink}href"
_LICENCES = {"/by/": "CC-BY", "/by-sa/": "CC-BY-SA", "/by-nc/": "CC-BY-NC", "/by-nc-nd/": "CC-BY-NC-ND",
             "/by-nc-sa/": "CC-BY-NC-SA", "/by-nd/": "CC-BY-ND", "/zero/": "CC0"}  # fmt: skip


def pubmed_record(citation: Element) -> dict[str, Any]:
    """Give one `MedlineCitation` as a record; `text` is empty for an article without an abstract."""
    number = inner_text(citation.find("PMID"))
    article = citation.find("Article")
    if article is None:
        return {}
    parts = []
    for part in article.iterfind("Abstract/AbstractText"):
        label, text = part.get("Label"), inner_text(part)
        parts.append(f"{label.capitalize()}: {text}" if label and text else text)
    return {
        "id": f"pmid-{number}",
        "title": inner_text(article.find("ArticleTitle")).strip("[]. "),
        "text": " ".join(part for part in parts if part),
        "keywords": [inner_text(name) for name in citation.iterfind("MeshHeadingList/MeshHeading/DescriptorName")],
        "source": f"PubMed {number}, {inner_text(article.find('Journal/Title'))}".rstrip(", "),
        "references": [f"PMID {number}"],
        "date": _date(article.find("Journal/JournalIssue/PubDate")),
    }


def read_pubmed_json(path: Path, options: ReadOptions, faults: Faults, tally: Tally) -> Iterator[Passage]:
    """Read `{pmid: {"CONTEXTS": […], "QUESTION"?, "LABELS"?, "MESHES"?, "YEAR"?}}`.

    Args:
        path: the file; it is held in memory while it is read.
        options: length of the chunks; licence and source where the file names none.
        faults: what is wrong is added here.
        tally: records without text are counted as empty.
    Yields:
        One passage after another. The question is a keyword, the long answer is left out.
    """
    from retrieval.records import passages_of

    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        faults.add(str(path), "file", str(error), "save it as JSON.")
        return
    if not isinstance(records, dict) or not all(
        isinstance(one, dict) and "CONTEXTS" in one for one in records.values()
    ):
        faults.add(str(path), "file", type(records).__name__, 'give {pmid: {"CONTEXTS": [...], ...}, ...}.')
        return
    for number, one in records.items():
        labels = one.get("LABELS") or [""] * len(one["CONTEXTS"])
        parts = [
            f"{label.capitalize()}: {text}" if label else text
            for label, text in zip(labels, one["CONTEXTS"], strict=False)
        ]
        if not parts:
            tally.empty += 1
            continue
        year = str(one.get("YEAR") or "")
        record = {
            "id": f"pmid-{number}",
            "title": one.get("QUESTION") or "",
            "text": " ".join(parts),
            "keywords": list(one.get("MESHES") or ()),
            "source": f"PubMed {number}",
            "references": [f"PMID {number}"],
            "date": year if year.isdigit() else None,
        }
        yield from passages_of(record, f"{path} record {number}", path.parent, options, faults)


def jats_records(root: Element, path: Path) -> Iterator[dict[str, Any]]:
    """Give the abstract, the sections and the figures of one full article as records.

    A figure whose picture lies beside the file becomes a figure with its caption; one without becomes a passage.

    Args:
        root: its `article` element.
        path: of the file.
    Yields:
        The fields of JSONL records; all name the article as parent.
    """
    front = root.find("front")
    meta = front if front is not None else root
    title = inner_text(meta.find(".//title-group/article-title")) or path.stem
    numbers = {one.get("pub-id-type"): inner_text(one) for one in meta.iterfind(".//article-meta/article-id")}
    name = numbers.get("pmc") or numbers.get("pmcid") or numbers.get("pmid") or path.stem
    name = name if name.upper().startswith("PMC") or not numbers.get("pmc") else f"PMC{name}"
    common = {
        "title": title,
        "licence": _licence(meta),
        "source": f"{name}, {inner_text(meta.find('.//journal-title'))}".rstrip(", "),
        "references": [f"doi:{numbers['doi']}"] if numbers.get("doi") else [],
        "date": _date(next(meta.iterfind(".//pub-date"), None)),
    }
    abstract = meta.find(".//abstract")
    if abstract is not None:
        yield {**common, "id": name, "text": inner_text(abstract)}
    for number, section in enumerate(root.iterfind("body/sec"), start=1):
        text = " ".join(inner_text(part) for part in section.iter("p"))
        heading = inner_text(section.find("title")) or None
        yield {**common, "id": f"{name}#s{number}", "parent": name, "text": text, "section": heading}
    for number, figure in enumerate(root.iter("fig"), start=1):
        graphic = figure.find(".//graphic")
        image = _beside(path.parent, graphic.get(_HREF, "")) if graphic is not None else None
        record = {**common, "id": f"{name}#f{number}", "caption": inner_text(figure.find("caption"))}
        record["text"] = record["caption"]
        yield {**record, "image": image, "kind": "figure"} if image else {**record, "parent": name}


def _beside(folder: Path, name: str) -> str | None:
    for ending in ("", ".jpg", ".png", ".jpeg", ".tif"):
        if name and (folder / f"{name}{ending}").is_file():
            return f"{name}{ending}"
    return None


def _licence(meta: Element) -> str | None:
    licence = meta.find(".//permissions/license")
    if licence is None:
        return None
    address = licence.get(_HREF) or next((link.get(_HREF, "") for link in licence.iter("ext-link")), "")
    for part, name in _LICENCES.items():
        if part in address:
            return "-".join([name, *(piece for piece in address.split(part, 1)[1].split("/")[:1] if piece)])
    return address or inner_text(licence) or None


def _date(element: Element | None) -> str | None:
    """Return year, month and day as far as all stand there."""
    if element is None:
        return None
    found = {part.tag.lower(): inner_text(part) for part in element}
    year, month, day = (found.get(name, "") for name in ("year", "month", "day"))
    year = year or found.get("medlinedate", "")[:4]
    if not (year.isdigit() and len(year) == 4):
        return None
    month = f"{_MONTHS.index(month[:3].lower()) + 1}" if month[:3].lower() in _MONTHS else month
    if not (month.isdigit() and 1 <= int(month) <= 12):
        return year
    return f"{year}-{int(month):02d}" + (f"-{int(day):02d}" if day.isdigit() and 1 <= int(day) <= 28 else "")
