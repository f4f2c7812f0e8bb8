import argparse
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="receives studies")

from assistant.commands.listen import Listening, run_listen  # noqa: E402
from assistant.commands.options import duration  # noqa: E402
from assistant.config import AssistantConfig, GenerationConfig  # noqa: E402
from assistant.errors import ConfigError, PacsError  # noqa: E402
from assistant.pacs.dimse import DimseArchive  # noqa: E402
from assistant.pacs.peer import Peer, parsed_peer  # noqa: E402
from assistant.pacs.receiver import Sender  # noqa: E402

pytestmark = pytest.mark.usefixtures("tidy")

WAIT_S = 240
"""How long a test waits for what must come: a busy machine is slow."""
ROOT = Path(__file__).resolve().parents[3]
CONFIG = AssistantConfig(index="none", generation=GenerationConfig(report_max_new_tokens=8, batch_size=4))


@contextmanager
def service(opener, out, destination=None, **settings):
    """Run the service in a thread; yields its port."""
    stop, ready, port = threading.Event(), threading.Event(), []

    def on_ready(number):
        port.append(number)
        ready.set()

    made = Listening(**{"out": out, "port": 0, "stable_s": 0.3, **settings})
    code = []
    thread = threading.Thread(target=lambda: code.append(run_listen(CONFIG, opener, made, destination, stop, on_ready)))
    thread.start()
    try:
        assert ready.wait(WAIT_S)
        yield port[0]
    finally:
        stop.set()
        thread.join(WAIT_S)
    assert code == [0]


def until(true, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert true()


def reports(out):
    file = out / "reports" / "reports.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def waiting(out):
    return [one for one in (out / "incoming").iterdir() if one.name[0] != "."]


def test_a_study_is_reported_when_nothing_more_comes_and_its_images_go(
    opener, send, dicom_image, tmp_path, capsys, monkeypatch
):
    now = [0.0]  # the spool's clock stands still until all have come
    monkeypatch.setattr("assistant.pacs.spool.time", SimpleNamespace(monotonic=lambda: now[0]))
    with service(opener, tmp_path) as port:
        assert send(port, [dicom_image(1, 1), dicom_image(1, 2), dicom_image(2)]) == [0, 0, 0]
        assert len(waiting(tmp_path)) == 2
        now[0] = 1.0
        until(lambda: len(reports(tmp_path)) == 2 and not waiting(tmp_path))
    assert sorted(len(one["inputs"]) for one in reports(tmp_path)) == [1, 2]
    told = capsys.readouterr().err
    assert "MEDASSIST listens on 127.0.0.1 port" in told
    assert "Stopped; 0 studies wait" in told


def test_what_was_sent_before_is_reported_once_and_late_images_anew(opener, send, dicom_image, tmp_path):
    with service(opener, tmp_path, keep=True) as port:
        send(port, [dicom_image(1)])
        until(lambda: len(reports(tmp_path)) == 1)
        send(port, [dicom_image(1)])
        time.sleep(1.2)
        assert len(reports(tmp_path)) == 1
        send(port, [dicom_image(1, 2)])
        until(lambda: len(reports(tmp_path)) == 2)
    assert [len(one["inputs"]) for one in reports(tmp_path)] == [1, 2]
    assert len(waiting(tmp_path)) == 1


def test_a_restart_goes_on_with_the_spool(opener, send, dicom_image, tmp_path, capsys):
    with service(opener, tmp_path, stable_s=60) as port:
        send(port, [dicom_image(1), dicom_image(2)])
    assert reports(tmp_path) == []
    assert "Stopped; 2 studies wait" in capsys.readouterr().err
    with service(opener, tmp_path):
        until(lambda: len(reports(tmp_path)) == 2 and not waiting(tmp_path))
    assert "2 studies waiting" in capsys.readouterr().err


def test_an_image_that_cannot_be_read_stays_and_stops_nothing(opener, send, dicom_image, tmp_path):
    broken = dicom_image(1, Rows=4000)  # says more pixels than it has
    with service(opener, tmp_path) as port:
        assert send(port, [broken, dicom_image(2)]) == [0, 0]
        until(lambda: len(reports(tmp_path)) == 1 and len(waiting(tmp_path)) == 1)
    (failure,) = (tmp_path / "reports" / "failures.jsonl").read_text().splitlines()
    assert "Doe" not in failure


def test_reports_wait_for_a_destination_that_is_down(opener, send, dicom_image, tmp_path, capsys):
    pytest.importorskip("highdicom", reason="writes the SR")
    nobody = DimseArchive(Peer("A", "127.0.0.1", 1), "MEDASSIST", wait_s=0.01)
    told = []

    def tells_of_the_wait():
        told.append(capsys.readouterr().err)
        return "wait, and are sent again in 30 s: A@127.0.0.1:1 cannot be reached" in "".join(told)

    with service(opener, tmp_path, nobody, store=("sr",)) as port:
        send(port, [dicom_image(1)])
        until(tells_of_the_wait)
    assert len(reports(tmp_path)) == len(waiting(tmp_path)) == 1
    assert not (tmp_path / "sent.jsonl").exists()


def record_of(patient, accession, reason):
    """A FHIR bundle that knows why a study was asked for."""
    subject = {"reference": "Patient/7"}
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in (
        {"resourceType": "Patient", "id": "7", "identifier": [{"value": patient}]},
        {"resourceType": "ServiceRequest", "id": "1", "status": "active", "subject": subject,
         "identifier": [{"value": accession}], "reasonCode": [{"text": reason}]},
    )]}  # fmt: skip


def test_the_record_tells_why_a_study_was_asked_for(opener, send, dicom_image, tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(record_of("P1", "A77", "Cough of Mr. Nr1")))
    with service(opener, tmp_path / "out", fhir=str(tmp_path / "record.json")) as port:
        assert send(port, [dicom_image(1, AccessionNumber="A77")]) == [0]
        until(lambda: len(reports(tmp_path / "out")) == 1)
    assert reports(tmp_path / "out")[0]["indication"] == "Cough of Mr. [removed]"


def test_a_record_that_is_down_is_asked_again_and_the_study_waits(
    opener, send, dicom_image, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("assistant.commands.listen._STORE_AGAIN_S", 0.4)
    up = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = json.dumps(record_of("P1", "A77", "Cough")).encode()
            self.send_response(200 if up.is_set() else 503)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/r4"
    try:
        with service(opener, tmp_path, fhir=address) as port:
            assert send(port, [dicom_image(1, AccessionNumber="A77")]) == [0]
            told = []

            def tells_of_the_wait():
                told.append(capsys.readouterr().err)
                return "is asked again in 0 s: http://127.0.0.1" in "".join(told)

            until(tells_of_the_wait)
            assert reports(tmp_path) == []
            up.set()
            until(lambda: len(reports(tmp_path)) == 1 and not waiting(tmp_path))
    finally:
        server.shutdown()
        server.server_close()
    assert reports(tmp_path)[0]["indication"] == "Cough"


def test_a_record_that_cannot_be_meant_is_told_before_the_model_loads(tmp_path):
    def opened(config):
        raise AssertionError("loaded")

    settings = Listening(out=tmp_path, port=0, fhir="http://fhir.example/r4")
    with pytest.raises(PacsError, match="is not encrypted"):
        run_listen(CONFIG, opened, settings, None, threading.Event())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "0.0.0.0"}, "Say who may send: --allow"),
        ({"host": "0.0.0.0", "allow": (Sender("CR1"),)}, "images would cross it readable"),
        ({"port": 70000}, "port is 70000"),
        ({"stable_s": 0.0}, "stable is 0 s; use a time above 0"),
        ({"stable_s": float("nan")}, "stable is nan s"),
        ({"most_objects": 0}, "give more than 0"),
        ({"formats": ("word",)}, "formats is 'word'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        Listening(out=tmp_path, **settings)


def test_a_wider_address_in_the_clear_is_warned_of(opener, tmp_path, capsys):
    with service(opener, tmp_path, host="0.0.0.0", allow=(Sender("CR1"),), plain=True):
        pass
    assert "WARNING: 0.0.0.0 is open to the network without encryption" in capsys.readouterr().err


def test_times_have_units():
    assert [duration(one) for one in ("30s", "5m", "1h", "2.5")] == [30, 300, 3600, 2.5]
    for bad in ("", "s", "soon"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no time, such as"):
            duration(bad)


@pytest.mark.pacs
@pytest.mark.filterwarnings("ignore")  # of the client libraries
def test_killed_at_any_moment_it_loses_nothing_and_stores_once(orthanc, send, dicom_image, tmp_path):
    """The archive is the destination; the service is killed as it receives and as it reports, then ended by SIGTERM."""
    pytest.importorskip("highdicom", reason="writes the SR")
    count = 12
    for number in range(count):
        stream = pydicom.filebase.DicomBytesIO()
        dicom_image(number).save_as(stream, enforce_file_format=True)
        orthanc.put(stream.getvalue())
    command = [
        sys.executable, "app.py", "listen", "--port", str(orthanc.receive), "--out", str(tmp_path / "out"),
        "--store-to", orthanc.peer, "--stable", "1s", "--index", "none", "--allow", "CR1",
    ]  # fmt: skip

    def start():
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if "listens on" in line:
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        return process

    first = start()
    acknowledged = []
    sender = threading.Thread(
        target=lambda: acknowledged.extend(send(orthanc.receive, [dicom_image(n) for n in range(count)]))
    )
    sender.start()
    until(lambda: len(waiting(tmp_path / "out")) >= 4)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    sender.join()
    taken = acknowledged.count(0)
    assert 3 <= taken <= count
    assert len(waiting(tmp_path / "out")) >= taken  # what was acknowledged is on the disk
    second = start()
    assert set(send(orthanc.receive, [dicom_image(n) for n in range(count)])) == {0}
    until(lambda: len(reports(tmp_path / "out")) >= 3, 60)
    os.kill(second.pid, signal.SIGKILL)
    second.wait()
    third = start()
    until(lambda: orthanc.count("SR") == count and not waiting(tmp_path / "out"), 90)
    third.terminate()
    assert third.wait(20) == 0
    assert len(reports(tmp_path / "out")) == count
    assert len((tmp_path / "out" / "sent.jsonl").read_text().splitlines()) >= count - 1
    assert parsed_peer(orthanc.peer).aet == "ARCHIVE"
