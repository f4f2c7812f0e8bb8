import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="receives studies")

from assistant.commands.listen import Listening, run_listen  # noqa: E402
from assistant.commands.options import duration  # noqa: E402
from assistant.config import AssistantConfig, GenerationConfig  # noqa: E402
from assistant.errors import ConfigError  # noqa: E402
from assistant.pacs.dimse import DimseArchive  # noqa: E402
from assistant.pacs.peer import Peer, parsed_peer  # noqa: E402
from assistant.pacs.receiver import Sender  # noqa: E402

pytestmark = [pytest.mark.usefixtures("tidy"), pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning")]

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
        assert ready.wait(20)
        yield port[0]
    finally:
        stop.set()
        thread.join(30)
    assert code == [0]


def until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert true()


def reports(out):
    file = out / "reports" / "reports.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def waiting(out):
    return [one for one in (out / "incoming").iterdir() if one.name[0] != "."]


def test_a_study_is_reported_when_nothing_more_comes_and_its_images_go(opener, send, dicom_image, tmp_path, capsys):
    with service(opener, tmp_path) as port:
        assert send(port, [dicom_image(1, 1), dicom_image(1, 2), dicom_image(2)]) == [0, 0, 0]
        assert len(waiting(tmp_path)) == 2
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
    with service(opener, tmp_path, nobody, store=("sr",)) as port:
        send(port, [dicom_image(1)])
        until(lambda: (tmp_path / "reports" / "studies").exists() and len(reports(tmp_path)) == 1)
        time.sleep(0.7)
    assert len(waiting(tmp_path)) == 1
    assert not (tmp_path / "sent.jsonl").exists()
    assert "wait, and are sent again in 30 s: A@127.0.0.1:1 cannot be reached" in capsys.readouterr().err


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
