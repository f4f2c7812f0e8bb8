"""Nothing that names a patient reaches what a report run leaves behind, but where it belongs into her record."""

import logging

import pytest

from assistant.commands.opened import Opened
from assistant.commands.report import run_report
from assistant.config import AssistantConfig, GenerationConfig

CONFIG = AssistantConfig(index="none", generation=GenerationConfig(report_max_new_tokens=8, batch_size=4))
NAMELESS = ("md", "json", "csv", "html", "docx", "pdf")
"""Formats that name no patient: SR, Encapsulated PDF, Secondary Capture, FHIR and HL7 belong into her record."""


@pytest.fixture
def opener(tiny_model):
    from assistant.chat import MedicalAssistant

    def open_assistant(config):
        return Opened(MedicalAssistant(tiny_model, None, config.generation), "tiny", tiny_model.fingerprint, None)

    return open_assistant


def test_a_run_over_planted_files_leaves_no_identifier(
    opener, planted, with_picture, saved, labelled, secrets, tmp_path, monkeypatch, capsys, caplog
):
    pytest.importorskip("docx", reason="writes DOCX")
    pytest.importorskip("reportlab", reason="writes PDF")
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    folder = tmp_path / "in" / "Zaphod Beeblebrox MRN4711881"
    folder.mkdir(parents=True)
    whole = saved(with_picture(planted(), labelled))
    (folder / "BEEBLEBROX_ZAPHOD_19520311.dcm").write_bytes(whole)
    (folder / "4711881.dcm").write_bytes(whole[: len(whole) - 9000])  # cut: fails with a reason
    (folder / "Beeblebrox.png").write_bytes(b"\x89PNG\r\n\x1a\n Zaphod")
    series = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT", "SeriesNumber": None}
    for number in range(5):
        slice_ = planted(
            SOPInstanceUID=f"1.2.9.8.7.6.5.4.{number}.1", **series, SliceThickness="1", PixelSpacing=[1, 1],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[0, 0, number], InstanceNumber=number,
        )  # fmt: skip
        (folder / "Zaphod CT").mkdir(exist_ok=True)
        (folder / "Zaphod CT" / f"Zaphod{number}.dcm").write_bytes(saved(with_picture(slice_, labelled + number)))
    out = tmp_path / "out"
    assert run_report(CONFIG, opener, inputs=["in"], out=out, formats=NAMELESS) == 1
    assert run_report(CONFIG, opener, inputs=["in"], out=out, formats=NAMELESS, only_failed=True) == 1
    printed = capsys.readouterr()
    seen = {"what is printed": printed.out + printed.err, "the log": caplog.text}
    for path in [*out.rglob("*"), *temporary.rglob("*")]:
        seen[f"the name of {path.name}"] = path.name
        if path.is_file() and path.name != "inputs.jsonl":
            seen[path.name] = _text(path)
    assert len(list((out / "studies").iterdir())) >= 2 * len(NAMELESS)
    for where, text in seen.items():
        assert [one for one in secrets if one.lower() in text.lower()] == [], where
    assert (out / "inputs.jsonl").stat().st_mode & 0o777 == 0o600


def _text(path):
    """Return a file's bytes as text, and the text of compressed formats."""
    text = path.read_bytes().decode("latin-1")
    if path.suffix == ".docx":
        import zipfile

        with zipfile.ZipFile(path) as parts:
            text += "".join(parts.read(one).decode("latin-1") for one in parts.namelist())
    if path.suffix == ".pdf":
        from pypdf import PdfReader

        reader = PdfReader(path)
        text += "".join(page.extract_text() for page in reader.pages) + str(reader.metadata)
    return text
