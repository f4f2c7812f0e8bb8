import pytest

from assistant.errors import PacsError
from assistant.pacs.peer import Peer, Tls, checked_aet, parsed_peer


def test_an_address_is_title_host_and_port():
    assert parsed_peer("ARCHIVE@pacs.example:104") == Peer("ARCHIVE", "pacs.example", 104)
    assert parsed_peer("MY PACS@[::1]:11112") == Peer("MY PACS", "::1", 11112)
    assert str(parsed_peer("A@h:1")) == "A@h:1"


@pytest.mark.parametrize("text", ["pacs.example:104", "A@pacs.example", "A@pacs.example:0", "A@b:70000", "A@@b:1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(PacsError, match="write AE@HOST:PORT"):
        parsed_peer(text)


@pytest.mark.parametrize("title", ["", "  ", "A" * 17, "A\\B", "Ä", "A\n"])
def test_what_is_no_title_is_refused(title):
    with pytest.raises(PacsError, match="is no AE title"):
        checked_aet(title)


def test_certificates_that_cannot_be_used_are_told(tmp_path):
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(PacsError, match=r"bad\.pem cannot be used"):
        Tls(ca=tmp_path / "bad.pem").client()
    with pytest.raises(PacsError, match=r"none\.pem cannot be used \(No such file"):
        Tls(cert=tmp_path / "none.pem").server()
    with pytest.raises(PacsError, match="needs a certificate of its own"):
        Tls().server()
