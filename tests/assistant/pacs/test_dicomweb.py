import pytest

pytest.importorskip("dicomweb_client", reason="talks to the archive")

from assistant.errors import PacsError  # noqa: E402
from assistant.pacs.dicomweb import WebArchive  # noqa: E402


@pytest.mark.parametrize(
    ("url", "message"),
    [("http://archive.example/x", "is not encrypted"), ("archive", "no address of a DICOMweb service")],
)
def test_an_address_that_cannot_be_meant_is_refused(url, message):
    with pytest.raises(PacsError, match=message):
        WebArchive(url)


def test_logins_come_from_a_file(tmp_path):
    (tmp_path / "bad").write_text("token")
    with pytest.raises(PacsError, match="holds neither"):
        WebArchive("https://archive.example/x", tmp_path / "bad")
    with pytest.raises(PacsError, match="cannot be read"):
        WebArchive("https://archive.example/x", tmp_path / "none")


@pytest.mark.pacs
@pytest.mark.filterwarnings("ignore")  # of the client library
def test_what_this_program_stored_is_not_fetched_as_an_image(orthanc, dicom_image, tmp_path):
    archive = WebArchive(orthanc.url)
    assert archive.store([dicom_image(1), dicom_image(1, 2, Manufacturer="medassist")]) == 2
    assert archive.fetch("1.2.3.4.1", tmp_path / "one")
    (file,) = (tmp_path / "one").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert not archive.fetch("1.2.3.4.1", tmp_path / "one")
