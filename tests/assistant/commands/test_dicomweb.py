import io
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

pytest.importorskip("dicomweb_client", reason="talks to the archive")

from assistant.commands.dicomweb import run_dicomweb  # noqa: E402
from assistant.config import AssistantConfig, GenerationConfig  # noqa: E402
from assistant.errors import ConfigError, PacsError  # noqa: E402
from assistant.pacs import Archive, parsed_query  # noqa: E402

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
CONFIG = AssistantConfig(index="none", generation=GenerationConfig(report_max_new_tokens=8, batch_size=4))
STUDIES = 20


@pytest.mark.parametrize(
    ("url", "message"),
    [("http://archive.example/x", "is not encrypted"), ("archive", "no address of a DICOMweb service")],
)
def test_an_address_that_cannot_be_meant_is_refused(url, message):
    with pytest.raises(PacsError, match=message):
        Archive(url)


def test_queries_are_keyword_and_value():
    filters = {"ModalitiesInStudy": "CR", "StudyDate": "20240101-"}
    assert parsed_query("Modality=CR, StudyDate=20240101-") == filters
    for bad in ("Modality", "Nonsense=1", "StudyDate="):
        with pytest.raises(PacsError, match="write Keyword=value"):
            parsed_query(bad)


def test_logins_come_from_a_file(tmp_path):
    (tmp_path / "bad").write_text("token")
    with pytest.raises(PacsError, match="holds neither"):
        Archive("https://archive.example/x", tmp_path / "bad")
    with pytest.raises(PacsError, match="cannot be read"):
        Archive("https://archive.example/x", tmp_path / "none")


def test_an_archive_that_is_not_there_is_told(tmp_path, opener):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(PacsError, match="gave no usable answer"):
        run_dicomweb(CONFIG, opener, url=f"http://127.0.0.1:{port}/dicom-web", out=tmp_path / "out")
    with pytest.raises(ConfigError, match="store has 'md'"):
        run_dicomweb(CONFIG, opener, url="http://127.0.0.1:1/x", out=tmp_path / "out", store=("md",))


class Server:
    """A real Orthanc on loopback with a storage folder of its own."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        settings = {
            "HttpPort": self.port, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        self.file = folder / "orthanc.json"
        self.file.write_text(json.dumps(settings))
        self.url = f"http://127.0.0.1:{self.port}/dicom-web"
        self.start()

    def start(self):
        self.process = subprocess.Popen([ORTHANC, str(self.file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/system", timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("Orthanc did not start")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def count(self, modality):
        query = json.dumps({"Level": "Instance", "Query": {"Modality": modality}}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/tools/find", query, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return len(json.load(answer))


@pytest.fixture
def server(tmp_path):
    if not ORTHANC or not PLUGIN.exists():
        pytest.skip("Orthanc with its DICOMweb plugin is not installed")
    made = Server(tmp_path)
    yield made
    made.kill()


def image(number):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", f"1.2.3.4.{number}.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.3.4.{number}", f"1.2.3.4.{number}.2"
    dataset.PatientID, dataset.PatientName, dataset.Modality = f"P{number}", f"Doe^Nr{number}", "CR"
    dataset.Rows = dataset.Columns = 32
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = np.random.default_rng(number).integers(0, 255, (32, 32), dtype=np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return pydicom.dcmread(stream)


@pytest.mark.pacs
@pytest.mark.filterwarnings("ignore")  # of the client library
def test_studies_are_fetched_reported_on_and_stored_back_once(server, opener, tmp_path):
    pytest.importorskip("highdicom", reason="writes the SR")
    archive = Archive(server.url)
    assert archive.store([image(number) for number in range(STUDIES)]) == STUDIES
    settings = {"url": server.url, "out": tmp_path / "out", "query": "Modality=CR", "store": ("sr", "dicom-pdf")}
    server.kill()
    with pytest.raises(PacsError, match="the same command goes on"):
        run_dicomweb(CONFIG, opener, **settings)
    server.start()
    for _ in range(2):  # the second run stores nothing again
        assert run_dicomweb(CONFIG, opener, **settings) == 0
        assert (server.count("SR"), server.count("DOC"), server.count("CR")) == (STUDIES, STUDIES, STUDIES)
    lines = (tmp_path / "out" / "reports" / "reports.jsonl").read_text().splitlines()
    assert len(lines) == STUDIES
    for path in (tmp_path / "out" / "reports" / "studies").glob("*.sr.dcm"):
        report = pydicom.dcmread(path)
        source = report.CurrentRequestedProcedureEvidenceSequence[0]
        assert source.StudyInstanceUID == report.StudyInstanceUID == f"1.2.3.4.{report.PatientID[1:]}"
