import socket

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="talks to the archive")

from assistant.errors import PacsError  # noqa: E402
from assistant.pacs.dimse import DimseArchive  # noqa: E402
from assistant.pacs.peer import Peer, parsed_peer  # noqa: E402
from assistant.pacs.receiver import TAKEN, Receiver  # noqa: E402

pytestmark = pytest.mark.usefixtures("tidy")


def test_a_readable_way_beyond_this_machine_must_be_wanted():
    with pytest.raises(PacsError, match="A@pacs.example:104 would be spoken to without encryption"):
        DimseArchive(Peer("A", "pacs.example", 104), "MEDASSIST")
    assert DimseArchive(Peer("A", "pacs.example", 104), "MEDASSIST", plain=True).name == "A@pacs.example:104"


def test_an_archive_that_is_not_there_is_told_after_several_attempts():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    archive = DimseArchive(Peer("A", "127.0.0.1", port), "MEDASSIST", wait_s=0.01)
    with pytest.raises(PacsError, match=f"A@127.0.0.1:{port} cannot be reached"):
        archive.echo()


def test_a_storage_service_without_queries_is_sent_what_it_takes(dicom_image):
    taken = []
    image = dicom_image(1, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    report = dicom_image(2, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22")
    for one in (image, report):
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
    with Receiver("STORE", "127.0.0.1", 0, lambda dataset, content: taken.append(content) or TAKEN) as service:
        archive = DimseArchive(Peer("STORE", "127.0.0.1", service.port), "MEDASSIST")
        archive.echo()
        assert archive.store([image]) == 1
        with pytest.raises(PacsError, match="takes no objects of the class Enhanced SR Storage"):
            archive.store([report])
        with pytest.raises(PacsError, match="does not offer what was asked of it"):
            list(archive.studies(""))
        wrong = DimseArchive(Peer("WRONG", "127.0.0.1", service.port), "MEDASSIST")
        with pytest.raises(PacsError, match=r"refuses .* MEDASSIST \(called ae title not recognised\)"):
            wrong.echo()
    assert len(taken) == 1


def test_an_archive_that_sends_another_study_or_less_than_it_has_is_told(dicom_image, tmp_path):
    """An archive of the test's own, by pynetdicom: it finds study 1 and sends study 2."""
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import ComputedRadiographyImageStorage

    def find(event):
        yield 0xFF00, dicom_image(1)

    def get(event):
        yield 1
        yield 0xFF00, dicom_image(2)

    entity = AE(ae_title="A")
    for one in ("1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"):
        entity.add_supported_context(one)
    entity.add_supported_context(ComputedRadiographyImageStorage, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    archive = DimseArchive(Peer("A", "127.0.0.1", server.socket.getsockname()[1]), "MEDASSIST", wait_s=0.01)
    try:
        with pytest.raises(PacsError, match="did not send 1 of 1 images of a series"):
            archive.fetch("1.2.3.4.1", tmp_path / "one")
    finally:
        server.shutdown()
    assert not (tmp_path / "one").exists()
    assert not list(tmp_path.rglob("*.dcm"))


@pytest.mark.pacs
@pytest.mark.parametrize("way", ["get", "move"])
def test_images_come_by_either_way_as_they_are_stored(orthanc, dicom_image, tmp_path, way):
    for number, part in ((1, 1), (1, 2), (2, 1)):
        orthanc.put(_bytes(dicom_image(number, part)))
    compressed = pydicom.dcmread(pydicom.data.get_testdata_file("JPEG2000.dcm"))
    orthanc.put(_bytes(compressed))
    archive = DimseArchive(
        parsed_peer(orthanc.peer), "MEDASSIST", receive=orthanc.receive if way == "move" else None, wait_s=0.05
    )
    assert sorted(archive.studies("Modality=CR,StudyDate=20240101-20240201")) == ["1.2.3.4.1", "1.2.3.4.2"]
    assert len(list(archive.studies(""))) == 3
    assert archive.fetch("1.2.3.4.1", tmp_path / "in" / "one")
    assert [pydicom.dcmread(one) for one in sorted((tmp_path / "in" / "one").iterdir())] == [
        dicom_image(1, 1), dicom_image(1, 2),
    ]  # fmt: skip
    assert not archive.fetch("1.2.3.4.1", tmp_path / "in" / "one")
    assert archive.fetch(str(compressed.StudyInstanceUID), tmp_path / "in" / "j2k")
    (file,) = (tmp_path / "in" / "j2k").iterdir()
    assert pydicom.dcmread(file) == compressed
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in (tmp_path / "in").iterdir()) == ["j2k", "one"]


@pytest.mark.pacs
def test_an_archive_that_does_not_know_where_to_send_is_told(orthanc, dicom_image, tmp_path):
    orthanc.put(_bytes(dicom_image(1)))
    stranger = DimseArchive(parsed_peer(orthanc.peer), "MEDASSIST", receive=1024 + orthanc.receive % 1000, wait_s=0.01)
    with pytest.raises(PacsError, match="answered C-MOVE with status|did not send"):
        stranger.fetch("1.2.3.4.1", tmp_path / "one")
    assert not (tmp_path / "one").exists()


def _bytes(dataset):
    stream = pydicom.filebase.DicomBytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
