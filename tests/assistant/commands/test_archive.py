import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pydicom
import pytest

pytest.importorskip("dicomweb_client", reason="talks to the archive")
pytest.importorskip("pynetdicom", reason="talks to the archive")

from assistant.commands.archive import run_archive  # noqa: E402
from assistant.config import AssistantConfig, GenerationConfig  # noqa: E402
from assistant.errors import ConfigError, PacsError  # noqa: E402
from assistant.pacs.dicomweb import WebArchive  # noqa: E402
from assistant.pacs.dimse import DimseArchive  # noqa: E402
from assistant.pacs.peer import parsed_peer  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
CONFIG = AssistantConfig(index="none", generation=GenerationConfig(report_max_new_tokens=8, batch_size=4))
STUDIES = 20
WAYS = ("dicomweb", "get", "move")


def opened(orthanc, way):
    if way == "dicomweb":
        return WebArchive(orthanc.url)
    receive = orthanc.receive if way == "move" else None
    return DimseArchive(parsed_peer(orthanc.peer), "MEDASSIST", receive=receive, wait_s=0.05)


def fill(orthanc, dicom_image):
    for number in range(STUDIES):
        stream = pydicom.filebase.DicomBytesIO()
        dicom_image(number).save_as(stream, enforce_file_format=True)
        orthanc.put(stream.getvalue())


def test_what_an_archive_does_not_take_is_refused(tmp_path, opener):
    archive = DimseArchive(parsed_peer("A@127.0.0.1:104"), "MEDASSIST")
    with pytest.raises(ConfigError, match="store has 'md'; an archive takes sr, dicom-pdf, sc"):
        run_archive(CONFIG, opener, archive=archive, out=tmp_path / "out", store=("md",))


@pytest.mark.pacs
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore")  # of the client libraries
def test_studies_are_fetched_reported_on_and_stored_back_once(orthanc, opener, dicom_image, tmp_path, way):
    pytest.importorskip("highdicom", reason="writes the SR")
    fill(orthanc, dicom_image)
    archive = opened(orthanc, way)
    settings = {"archive": archive, "out": tmp_path / "out", "query": "Modality=CR", "store": ("sr", "pdf")}
    orthanc.kill()
    with pytest.raises(PacsError, match="the same command goes on"):
        run_archive(CONFIG, opener, **settings)
    orthanc.start()
    for _ in range(2):  # the second run stores nothing again
        assert run_archive(CONFIG, opener, **settings) == 0
        assert (orthanc.count("SR"), orthanc.count("DOC"), orthanc.count("CR")) == (STUDIES, STUDIES, STUDIES)
    lines = (tmp_path / "out" / "reports" / "reports.jsonl").read_text().splitlines()
    assert len(lines) == STUDIES
    for path in (tmp_path / "out" / "reports" / "studies").glob("*.sr.dcm"):
        report = pydicom.dcmread(path)
        source = report.CurrentRequestedProcedureEvidenceSequence[0]
        assert source.StudyInstanceUID == report.StudyInstanceUID == f"1.2.3.4.{report.PatientID[1:]}"


@pytest.mark.pacs
@pytest.mark.parametrize("way", ["dicomweb", "get"])
@pytest.mark.parametrize("phase", ["fetching", "storing"])
@pytest.mark.filterwarnings("ignore")  # of the client libraries
def test_an_archive_killed_in_the_middle_loses_nothing(orthanc, opener, dicom_image, tmp_path, way, phase):
    pytest.importorskip("highdicom", reason="writes the SR")
    fill(orthanc, dicom_image)
    out = tmp_path / "out"
    settings = {"archive": opened(orthanc, way), "out": out, "query": "Modality=CR", "store": ("sr",)}

    def middle():
        if phase == "fetching":
            return len(list(out.glob("incoming/[!.]*"))) >= 3
        return (out / "reports" / "reports.jsonl").exists() and orthanc.count("SR") >= 3

    def watch():
        while not middle():
            time.sleep(0.005)
        orthanc.kill()
        time.sleep(0.2)
        if phase == "storing":
            orthanc.start()  # is back before the attempts are used up, or after

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        first = run_archive(CONFIG, opener, **settings)
    except PacsError as error:
        first = str(error)
    watcher.join()
    if phase == "fetching":
        assert first != 0
        orthanc.start()
    assert run_archive(CONFIG, opener, **settings) == 0
    assert (orthanc.count("CR"), orthanc.count("SR")) == (STUDIES, STUDIES)
    assert len((out / "reports" / "reports.jsonl").read_text().splitlines()) == STUDIES


@pytest.mark.pacs
@pytest.mark.filterwarnings("ignore")  # of the client libraries
def test_the_command_line_killed_in_the_middle_goes_on(orthanc, dicom_image, tmp_path):
    pytest.importorskip("highdicom", reason="writes the SR")
    fill(orthanc, dicom_image)
    out = tmp_path / "out"
    command = [
        sys.executable, "app.py", "report", "--pacs", orthanc.peer, "--query", "Modality=CR", "--index", "none",
        "--store", "sr", "--out", str(out), "--batch-size", "2",
    ]  # fmt: skip
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = out / "reports" / "reports.jsonl"
    while not (lines.exists() and lines.read_text().count("\n") >= 4) and first.poll() is None:
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{STUDIES} objects stored in {orthanc.peer}" in done.stdout
    assert (orthanc.count("SR"), lines.read_text().count("\n")) == (STUDIES, STUDIES)
