import importlib.util
import io
import json
import subprocess
import sys
import zipfile

import pydicom
import pytest

from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.errors import ConfigError, ExportError
from assistant.exports.registry import FORMATS, check_formats, ending, is_installed, render


def here(name):
    needs = FORMATS[name].needs
    if needs and importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    return name


def words(data):
    """All text of a file, zipped or not, blanks and line breaks made one."""
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = b" ".join(archive.read(one) for one in archive.namelist())
    if b"%PDF" in data[:2000]:
        pypdf = pytest.importorskip("pypdf", reason="reads the PDF")
        pages = pypdf.PdfReader(io.BytesIO(data[data.index(b"%PDF") :])).pages
        data = " ".join(page.extract_text() for page in pages).encode()
    return " ".join(data.decode("utf-8", "replace").split())


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries that write
def test_every_format_says_that_it_is_not_for_clinical_use(name, record):
    heat = {"nats": [[0.0, 1.0], [0.0, 0.0]], "whole": 1.0}
    assert NOT_FOR_CLINICAL_USE in words(render(here(name), {**record, "heat": heat}))


@pytest.mark.parametrize("name", ["csv", "html", "docx", "pdf", "fhir", "hl7"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pictures_without_a_header_can_be_exported_too(name, record_of_png):
    assert b"Jane" not in render(here(name), record_of_png)


@pytest.mark.parametrize("name", ["sr", "dicom-pdf"])
def test_dicom_formats_need_dicom_images_of_one_study(name, record, record_of_png, image):
    with pytest.raises(ExportError, match=f"{name} belongs into a DICOM study"):
        render(here(name), record_of_png)
    other = image("other.dcm", StudyInstanceUID="1.2.3.77")
    with pytest.raises(ExportError, match="the inputs are of several. Use --group"):
        render(name, {**record, "inputs": [*record["inputs"], str(other)]})


def test_a_header_that_a_library_cannot_work_with_is_told_without_its_values(record, image):
    pytest.importorskip("highdicom", reason="writes the SR")
    odd = image("odd.dcm")
    header = pydicom.dcmread(odd)
    del header.SeriesInstanceUID
    header.save_as(odd)
    with pytest.raises(ExportError, match=r"sr cannot be made from these headers \(\w+\)\.$"):
        render("sr", {**record, "inputs": [str(odd)]})


def test_formats_are_checked_all_at_once(monkeypatch):
    check_formats(["md", "json"])
    with pytest.raises(ConfigError, match="formats is 'md,xls'; use one or more of md, json"):
        check_formats(["md", "xls"])
    with pytest.raises(ConfigError, match="formats is ''"):
        check_formats([])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs docx, highdicom. Install it: pip install 'medassist\[exports\]'"):
        check_formats(["sr", "docx"])


def test_endings_differ():
    assert len({ending(name) for name in FORMATS}) == len(FORMATS)


def test_json_is_the_record(record):
    assert json.loads(render("json", record)) == record


def test_what_is_installed_is_told_without_loading_any_of_it():
    code = (
        "import sys; from assistant.exports.registry import FORMATS, is_installed; list(map(is_installed, FORMATS)); "
        "sys.exit(bool({'highdicom', 'reportlab', 'docx', 'onnxruntime', 'rapidocr_onnxruntime'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_format_is_not_offered_where_its_library_or_the_finder_of_text_is_missing(monkeypatch):
    find = importlib.util.find_spec
    for missing, without, still in (("docx", "docx", "html"), ("rapidocr_onnxruntime", "html", "md")):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, gone=missing: None if name == gone else find(name)
        )
        assert not is_installed(without)
        assert is_installed(still)
