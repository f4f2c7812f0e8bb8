"""Text that is burned into a picture stands in nothing that is shown, written or sent; Tesseract looks for it."""

import base64
import importlib.util
import io
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import date

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont

from assistant.chat import MedicalAssistant
from assistant.conversation import Answer, Question
from assistant.deidentify import burned, shown
from assistant.errors import ConfigError
from assistant.exports.held import HeldSource
from assistant.exports.registry import FORMATS, check_formats, render
from assistant.exports.source import Source
from assistant.feedback.records import Opinion, feedback_on_answer
from assistant.imaging.load import load_picture
from assistant.imaging.picture import Picture, Section
from assistant.ui.session import preview

if importlib.util.find_spec("rapidocr_onnxruntime") is None:
    pytest.skip("rapidocr-onnxruntime is not installed", allow_module_level=True)

PICTURED = tuple(name for name, one in FORMATS.items() if one.pictures)
RECORD = {
    "study": "0123456789abcdef", "key": "feedfeedfeedfeed", "model": {"name": "tiny", "fingerprint": "feed"},
    "sections": {"technique": "A film.", "findings": "Clear.", "impression": "Clear."},
    "heat": {"nats": [[0.0] * 8 for _ in range(8)], "whole": 1.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def named():
    """A picture, uint8 (300, 500), that a name and a number are written into; its right part is free of text."""
    picture = Image.fromarray(np.tile(np.linspace(40, 90, 500).astype(np.uint8), (300, 1)))
    ImageDraw.Draw(picture).text((20, 30), "ZAPHOD 4711881", fill=250, font=ImageFont.load_default(size=30))
    return np.array(picture)


@pytest.fixture
def file(named, planted, with_picture, saved, tmp_path):
    (tmp_path / "a.dcm").write_bytes(saved(with_picture(planted(), named)))
    return tmp_path / "a.dcm"


def read(*images):
    """Return what Tesseract reads in pictures."""
    if not shutil.which("tesseract"):
        pytest.skip("tesseract is not installed")
    found = ""
    for image in images:
        stream = io.BytesIO()
        image.convert("RGB").resize((600, 600 * image.height // image.width)).save(stream, "PNG")
        done = subprocess.run(
            ["tesseract", "-", "-", "--psm", "11"], input=stream.getvalue(), capture_output=True, check=True
        )
        found += done.stdout.decode()
    return found.upper()


def images_of(name, content):
    """Return the pictures that a report shows."""
    if name == "html":
        found = re.findall(rb"data:image/png;base64,([^\"]+)", content)
        return [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]
    if name == "docx":
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            media = [one for one in parts.namelist() if one.startswith("word/media/")]
            return [Image.open(io.BytesIO(parts.read(one))) for one in media]
    if name == "sc":
        return [Image.fromarray(pydicom.dcmread(io.BytesIO(content)).pixel_array[:600])]  # less the notice
    if name == "dicom-pdf":
        content = bytes(pydicom.dcmread(io.BytesIO(content)).EncapsulatedDocument)
    from pypdf import PdfReader

    return [one.image for sheet in PdfReader(io.BytesIO(content)).pages for one in sheet.images]


@pytest.mark.parametrize("name", PICTURED)
def test_no_report_shows_what_is_burned_in(name, file):
    for needed in ("docx", "reportlab"):
        pytest.importorskip(needed, reason="writes the report")
    record = {**RECORD, "inputs": [str(file)]}
    if name in ("html", "sc"):  # the others show what html does
        shown.take_rule("keep")
        assert "ZAPHOD" in read(*images_of(name, render(name, record)))
        shown.take_rule("clean")
    images = images_of(name, render(name, record))
    assert len(images) == 1
    assert not [one for one in ("ZAPHOD", "4711881") if one in read(*images)]
    assert np.asarray(images[0].convert("L"))[20:40, -60:].min() > 40  # the rest of the picture is there


def test_the_objects_that_an_archive_gets_say_whether_pixels_name_the_patient(file):
    pytest.importorskip("reportlab", reason="writes the PDF")
    record = {**RECORD, "inputs": [str(file)]}
    for rule, said in (("clean", {"NO"}), ("written", {"NO"}), ("keep", {"YES", None})):
        shown.take_rule(rule)
        made = [pydicom.dcmread(io.BytesIO(render(name, record))) for name in ("dicom-pdf", "sc")]
        assert {one.get("BurnedInAnnotation") for one in made} == said


def test_pixels_without_text_stay_equal_and_the_same_picture_is_searched_once(file):
    picture = load_picture(file)
    clean = shown.shown(picture)
    assert np.array_equal(clean.pixels[:, 350:], picture.pixels[:, 350:])
    assert clean.pixels[42:56, 40:180].max() == 0
    assert shown.shown(clean) is clean
    assert picture.content_id in shown._found
    free = Picture(np.full((60, 80, 3), 90, np.uint8))
    assert shown.shown(free) is free
    shown.take_rule("keep")
    assert shown.shown(picture) is picture


def test_the_page_and_its_exports_show_none(file):
    picture = load_picture(file)
    image = preview(picture)
    assert "4711881" not in read(image)
    (png,) = HeldSource([], [picture]).pictures()
    assert "4711881" not in read(Image.open(io.BytesIO(png)))


def test_pictures_kept_with_feedback_show_none(file):
    question = Question("What is it?", (load_picture(file),))
    answer = Answer("A scan.", 0.9, False, (), (), "tiny", "feed", 0.1)
    opinion = Opinion("up", keep_pictures=True)
    kept = feedback_on_answer("a", question, answer, opinion, day=date(2026, 1, 2)).pictures[0].png
    assert "4711881" not in read(Image.open(io.BytesIO(kept)))


def test_another_servers_model_is_sent_none(file):
    from assistant.serve.upstream import _part

    made = _part({"type": "image"}, iter([load_picture(file)]))
    png = base64.b64decode(made["image_url"]["url"].partition(",")[2])
    assert "4711881" not in read(Image.open(io.BytesIO(png)))


def test_a_model_that_could_read_is_given_none_and_one_that_cannot_the_picture_itself(file, tiny_model):
    picture = load_picture(file)
    section = Picture(picture.pixels, section=Section("s", 1, 2, "axial", 0.0))
    assert shown.as_read((picture,), 160) == (picture,)
    clean, slice_ = shown.as_read((picture, section), 224)
    assert clean.pixels[42:56, 40:180].max() == 0
    assert slice_ is section
    shown.take_rule("written")
    assert shown.as_read((picture,), 224) == (picture,)
    shown.take_rule("clean")
    assistant = MedicalAssistant(tiny_model)
    assistant._side = 336  # as a larger model's contract has it
    (case,) = assistant._question_cases([Question("What is it?", (picture,))])
    assert case.pictures[0].content_id == clean.content_id
    tiled = replace(tiny_model, contract=tiny_model.contract.replace(tiles=2))
    assert (MedicalAssistant(tiny_model)._side, MedicalAssistant(tiled)._side) == (32, 64), "tiles show more"


def test_without_a_finder_reports_with_pictures_are_refused_and_the_page_exports_none(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr_onnxruntime", None)
    monkeypatch.setattr(shown, "_finder", shown._finder.__wrapped__)  # nothing that was loaded before
    burned._engine.cache_clear()
    picture = load_picture(file)
    for name in PICTURED:
        with pytest.raises(ConfigError, match="Text in pixels is found by RapidOCR, which cannot be loaded"):
            check_formats((name,))
    check_formats(("md", "json"))
    assert HeldSource([], [picture]).pictures() == []
    assert preview(picture).size == (500, 300)
    question, answer = Question("?", (picture,)), Answer("A scan.", 0.9, False, (), (), "tiny", "feed", 0.1)
    opinion = Opinion("up", keep_pictures=True)
    assert feedback_on_answer("a", question, answer, opinion, day=date(2026, 1, 2)).pictures[0].png is None
    shown.take_rule("keep")
    check_formats(PICTURED)
    assert len(Source([str(file)]).pictures()) == 1
