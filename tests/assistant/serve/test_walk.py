"""Planted identifiers through `deidentify`, `report` and `serve`: every byte that is left behind is searched.

Names stand in elements of every representation, nested, private, in overlays, structured content, an encapsulated
document, file names, a picture's metadata, and in pixels. Compressed streams are opened, and Tesseract reads all
pictures.
"""

import base64
import gzip
import io
import logging
import re
import shutil
import sqlite3
import subprocess
import zipfile

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import app
from assistant.commands.opened import Opened
from assistant.commands.report import run_report
from assistant.config import AssistantConfig, GenerationConfig
from tests.assistant.deidentify import conftest as plant
from tests.assistant.serve.conftest import WAIT_S

for needed in ("docx", "reportlab", "rapidocr_onnxruntime"):
    pytest.importorskip(needed, reason="writes or reads what is searched")

FORMATS = ("md", "json", "csv", "html", "docx", "pdf")
"""Formats that name no patient: SR, Encapsulated PDF, Secondary Capture, FHIR and HL7 belong into her record."""
OURS = ("inputs.jsonl", "salt")
"""Which name stands for which path, for the owner alone; and random bytes."""
NAME = "BEEBLEBROX 4711881"


@pytest.fixture
def folder(tmp_path):
    """Where a hospital's files lie, their names saying whose they are."""
    made = tmp_path / "in" / "Zaphod Beeblebrox MRN4711881"
    (made / "Zaphod CT").mkdir(parents=True)
    pixels = _named_picture()
    whole = plant._saved(plant._with_picture(plant._planted(), pixels))
    (made / "BEEBLEBROX_ZAPHOD_19520311.dcm").write_bytes(whole)
    (made / "4711881.dcm").write_bytes(whole[: len(whole) - 9000])  # cut: fails with a reason
    (made / "Beeblebrox.png").write_bytes(b"\x89PNG\r\n\x1a\n Zaphod")
    told = PngImagePlugin.PngInfo()
    told.add_text("Patient", "Zaphod Beeblebrox")
    Image.fromarray(pixels).save(made / "Zaphod.png", pnginfo=told)
    (made / "Beeblebrox.txt").write_text("Zaphod Beeblebrox, MRN4711881, born 11.03.1952: clear lungs.")
    (made / "Zaphod document.dcm").write_bytes(plant._saved(_document()))
    (made / "Zaphod structured.dcm").write_bytes(plant._saved(_structured()))
    series = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT", "SeriesNumber": None}
    for number in range(5):
        one = plant._planted(
            SOPInstanceUID=f"1.2.9.8.7.6.5.4.{number}.1", **series, SliceThickness="1", PixelSpacing=[1, 1],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[0, 0, number], InstanceNumber=number,
        )  # fmt: skip
        picture = plant._with_picture(one, pixels[:120, :160] + number)
        (made / "Zaphod CT" / f"Zaphod{number}.dcm").write_bytes(plant._saved(picture))
    return made


def _named_picture():
    picture = Image.fromarray(np.tile(np.linspace(40, 90, 420).astype(np.uint8), (200, 1)))
    ImageDraw.Draw(picture).text((20, 140), NAME, fill=250, font=ImageFont.load_default(size=30))
    return np.array(picture)


def _document():
    from reportlab.pdfgen.canvas import Canvas

    stream = io.BytesIO()
    canvas = Canvas(stream, pageCompression=1)
    canvas.drawString(100, 700, "Zaphod Beeblebrox, MRN4711881")
    canvas.save()
    made = plant._planted(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", Modality="DOC", SOPInstanceUID="1.2.9.8.7.6.5.4.10"
    )
    made.MIMETypeOfEncapsulatedDocument, made.DocumentTitle = "application/pdf", "Zaphod"
    made.EncapsulatedDocument = stream.getvalue() + b"\0" * (len(stream.getvalue()) % 2)
    return made


def _structured():
    made = plant._planted(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22", Modality="SR", SOPInstanceUID="1.2.9.8.7.6.5.4.11"
    )
    item, name = Dataset(), Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121071", "DCM", "Finding of Zaphod"
    item.ValueType, item.RelationshipType, item.TextValue = "TEXT", "CONTAINS", "Beeblebrox has a nodule."
    person = Dataset()
    person.ValueType, person.RelationshipType, person.PersonName = "PNAME", "HAS OBS CONTEXT", "Beeblebrox^Zaphod"
    item.ConceptNameCodeSequence = person.ConceptNameCodeSequence = Sequence([name])
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ContentSequence = Sequence([item, person])
    return made


def test_no_identifier_is_left_in_anything_that_the_program_writes_or_says(
    folder, tiny_model, start_server, tmp_path, tmp_path_factory, monkeypatch, capfd, caplog
):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("PIL").setLevel(logging.INFO)
    monkeypatch.chdir(tmp_path)
    kept = {name: tmp_path_factory.mktemp(name) for name in ("tmp", "state-of-the-walk", "features")}
    monkeypatch.setenv("TMPDIR", str(kept["tmp"]))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("MEDASSIST_STATE_DIR", str(kept["state-of-the-walk"]))
    clean, out = tmp_path / "clean", tmp_path / "out"
    assert app.main(["deidentify", "in", "--out", str(clean)]) == 1  # two files are broken
    told = capfd.readouterr()
    assert "Zaphod" in told.err  # that command names the files it was given, on the terminal alone
    _report(tiny_model, out, kept["features"])
    said = _served(start_server, folder)
    running = said.pop("running")
    assert len(list(clean.rglob("*.dcm"))) == 8
    assert len(list((out / "studies").iterdir())) >= 3 * len(FORMATS)
    printed = capfd.readouterr()
    seen = {**said, "what is printed": (printed.out + printed.err).encode(), "the log": caplog.text.encode()}
    roots = [clean, out, *kept.values(), running.audit.parent, running.feedback_folder]
    pictures = []
    for path in (one for root in roots for one in root.rglob("*")):
        seen[f"the name {path.relative_to(tmp_path.parent)}"] = path.name.encode()
        if path.is_file() and path.name not in OURS:
            seen[str(path)], found = opened(path)
            pictures += found
    for where, content in seen.items():
        assert names_in(content) == [], where
    assert len(pictures) >= 12
    different = {image.convert("L").tobytes(): (where, image) for where, image in pictures}
    for where, image in different.values():
        assert [one for one in ("BEEBLE", "4711881") if one in read(image)] == [], where
    assert "BEEBLE" in read(Image.fromarray(_named_picture()))  # what would have been found
    assert (out / "inputs.jsonl").stat().st_mode & 0o777 == 0o600


def _report(model, out, features):
    from assistant.chat import MedicalAssistant

    settings = GenerationConfig(report_max_new_tokens=8, batch_size=4, feature_folder=str(features))
    config = AssistantConfig(index="none", generation=settings)

    def opener(given):
        return Opened(MedicalAssistant(model, None, given.generation), "tiny", model.fingerprint, None)

    assert run_report(config, opener, inputs=["in"], out=out, formats=FORMATS) == 1
    assert run_report(config, opener, inputs=["in"], out=out, formats=FORMATS, only_failed=True) == 1


def _served(start_server, folder):
    """Ask a server about the planted files, well and badly, and judge an answer; return all that it says."""
    running = start_server()
    running.feedback_folder = running.service.feedback.store.address.file.parent
    said = {"running": running}

    def post(path, body):
        answer = httpx.post(f"{running.url}/v1/{path}", json=body, timeout=WAIT_S)
        said[f"answer {len(said)} of /v1/{path}"] = str(answer.headers).encode() + answer.content
        return answer

    def image(name):
        data = base64.b64encode((folder / name).read_bytes()).decode()
        return {"type": "image_url", "image_url": {"url": f"data:application/dicom;base64,{data}"}}

    asked = {"type": "text", "text": "What kind of image is this?"}
    whole = image("BEEBLEBROX_ZAPHOD_19520311.dcm")
    made = post("chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": [asked, whole]}]})
    post("reports", {"model": "tiny", "images": [whole["image_url"]]})
    for broken in ("4711881.dcm", "Beeblebrox.png", "Zaphod document.dcm", "Zaphod structured.dcm"):
        messages = [{"role": "user", "content": [asked, image(broken)]}]
        assert post("chat/completions", {"model": "tiny", "messages": messages}).status_code == 400
    comment = "Seen by Dr. Beeblebrox, MRN 4711881, on 11.03.1952."
    body = {"id": made.json()["id"], "verdict": "down", "comment": comment, "keep_pictures": True}
    assert post("feedback", body).json()["pictures_kept"] == 1
    said["metrics"] = httpx.get(f"{running.url}/metrics", timeout=WAIT_S).content
    return said


def names_in(content):
    """Return the secrets that stand in bytes, as text of one byte a letter or two."""
    lower = content.lower()
    return [
        one
        for one in plant.SECRETS
        for code in ("utf-8", "utf-16-le", "utf-16-be")
        if one.lower().encode(code) in lower
    ]


def opened(path):
    """Return a file's bytes with what is packed in it, and its pictures."""
    content = path.read_bytes()
    packed, images = [content], []
    if path.suffix == ".gz":
        packed.append(gzip.decompress(content))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as parts:
            inner = [parts.read(one) for one in parts.namelist()]
        packed += inner
        images += [one for one in inner if one[:4] == b"\x89PNG"]
    if path.suffix == ".html":
        images += [base64.b64decode(one) for one in re.findall(rb"data:image/png;base64,([^\"]+)", content)]
    if path.suffix in (".png", ".jpg", ".jpeg"):
        images.append(content)
    if path.suffix == ".sqlite":
        with sqlite3.connect(path) as database:
            if list(database.execute("select 1 from sqlite_master where name = 'feedback_picture'")):
                images += [one for (one,) in database.execute("select png from feedback_picture where png is not null")]
        database.close()
    found = [(str(path), Image.open(io.BytesIO(one))) for one in images]
    if path.suffix == ".pdf":
        texts, drawn = _of_pdf(content)
        packed.append(texts)
        found += [(str(path), one) for one in drawn]
    if path.suffix == ".dcm":
        dataset = pydicom.dcmread(path)
        if "EncapsulatedDocument" in dataset:
            packed.append(_of_pdf(bytes(dataset.EncapsulatedDocument))[0])
        if "PixelData" in dataset:
            found.append((str(path), Image.fromarray(dataset.pixel_array)))
        if shutil.which("dcmdump"):
            packed.append(subprocess.run(["dcmdump", path], capture_output=True, check=True).stdout)
    return b"\n".join(packed), found


def _of_pdf(content):
    """Return a PDF's text, by pdftotext too where it is installed, and its pictures."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(content))
    text = "".join(sheet.extract_text() for sheet in reader.pages) + str(reader.metadata)
    if shutil.which("pdftotext"):
        done = subprocess.run(["pdftotext", "-", "-"], input=content, capture_output=True, check=True)
        text += done.stdout.decode()
    return text.encode(), [one.image for sheet in reader.pages for one in sheet.images]


def read(image):
    """Return what Tesseract reads in a picture; nothing where it is not installed."""
    if not shutil.which("tesseract"):
        pytest.skip("tesseract is not installed")
    stream = io.BytesIO()
    image.convert("RGB").resize((600, 600 * image.height // image.width)).save(stream, "PNG")
    command = ["tesseract", "-", "-", "--psm", "11"]
    return subprocess.run(command, input=stream.getvalue(), capture_output=True, check=True).stdout.decode().upper()
