import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="talks to the receiver")

from assistant.errors import PacsError  # noqa: E402
from assistant.pacs.dimse import DimseArchive  # noqa: E402
from assistant.pacs.peer import Peer, Tls  # noqa: E402
from assistant.pacs.receiver import FULL, NOT_AUTHORISED, TAKEN, UNREADABLE, Receiver, Sender, parsed_sender  # noqa: E402

pytestmark = pytest.mark.usefixtures("tidy")


@pytest.fixture
def taken():
    return []


@pytest.fixture
def receiver(taken):
    def make(**more):
        def take(dataset, content):
            taken.append((dataset, content))
            return TAKEN

        return Receiver(**{"aet": "MEDASSIST", "host": "127.0.0.1", "port": 0, "take": take, **more})

    return make


def test_an_object_comes_as_it_was_sent(receiver, taken, send, dicom_image):
    with receiver() as one:
        assert send(one.port, [dicom_image(1), dicom_image(2)]) == [TAKEN, TAKEN]
    assert [str(dataset.PatientID) for dataset, _ in taken] == ["P1", "P2"]
    read = pydicom.dcmread(pydicom.filebase.DicomBytesIO(taken[0][1]))
    assert read == dicom_image(1)
    assert read.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_only_who_is_allowed_may_send(receiver, taken, send, dicom_image):
    with receiver(allow=[Sender("CR1"), Sender("CR2", "10.1.2.3")]) as one:
        assert send(one.port, [dicom_image(1)], calling="OTHER") == []
        assert send(one.port, [dicom_image(1)], calling="CR1", called="WRONG") == []
        assert send(one.port, [dicom_image(1)], calling="CR2") == [NOT_AUTHORISED]
        assert (send(one.port, [dicom_image(1)], calling="CR1"), one.refused) == ([TAKEN], 1)
    assert len(taken) == 1


def test_a_larger_object_than_allowed_is_cut_off_and_the_next_is_taken(receiver, taken, send, dicom_image):
    large = dicom_image(1, Rows=64, Columns=64, PixelData=bytes(64 * 64))
    with receiver(most_bytes=3_000) as one:
        assert send(one.port, [large]) == [-1]
        assert send(one.port, [dicom_image(number) for number in range(1, 6)]) == [TAKEN] * 5  # 1 KB each
        assert one.refused == 1


def test_what_cannot_be_taken_is_refused_by_status_and_quoted_nowhere(receiver, send, dicom_image, caplog):
    def full(dataset, content):
        raise OSError(28, "No space left on device", "/spool/Doe")

    def broken(dataset, content):
        raise ValueError(f"cannot read {dataset.PatientName}")

    for take, status in ((full, FULL), (broken, UNREADABLE)):
        with receiver(take=take) as one:
            assert send(one.port, [dicom_image(1)]) == [status]
    assert "No space left" in caplog.text
    assert "Doe" not in caplog.text


def test_a_port_that_is_taken_is_told(receiver):
    with receiver() as one, pytest.raises(PacsError, match=rf"port {one.port} \(Address already in use"):
        receiver(port=one.port).__enter__()


def test_senders_are_titles_with_or_without_an_address():
    assert parsed_sender("CR1") == Sender("CR1")
    assert parsed_sender("CR1@10.0.0.7") == Sender("CR1", "10.0.0.7")
    with pytest.raises(PacsError, match="'pacs' is no IP address"):
        parsed_sender("CR1@pacs")


def test_over_tls_both_sides_show_who_they_are(receiver, taken, dicom_image, certificate):
    both = Tls(ca=certificate, cert=certificate)
    image = dicom_image(1, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")  # a class that reports are sent in, too
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    with receiver(tls=both) as one:
        peer = Peer("MEDASSIST", "127.0.0.1", one.port)
        assert DimseArchive(peer, "CR1", tls=both).store([image]) == 1
        for tls in (None, Tls(ca=certificate)):  # readable; without a certificate of its own
            with pytest.raises(PacsError, match="cannot be reached, or ends the association"):
                DimseArchive(peer, "CR1", tls=tls, wait_s=0.01).echo()
    assert len(taken) == 1
