import gzip

import pytest

from assistant.imaging.given import Given, is_gzip


def test_a_file_and_its_bytes_are_read_alike_and_named_by_us(tmp_path):
    path = tmp_path / "Doe^Jane.dcm"
    path.write_bytes(b"content")
    on_disk, in_memory = Given("Image 1", path), Given("Image 1", b"content")
    for one in (on_disk, in_memory):
        with one.open() as stream:
            assert stream.read() == b"content"
        assert (str(one), one.name) == ("Image 1", "Image 1")
        assert "Doe" not in repr(one)
    assert on_disk.digest() == in_memory.digest()
    assert on_disk.digest() != Given("Image 2", path).digest()


def test_what_was_sent_is_only_read():
    with pytest.raises(ValueError, match="mode is 'w'; what was sent is only read"):
        Given("Image 1", b"").open("w")


def test_gzip_is_told_by_its_bytes():
    with Given("a", gzip.compress(b"x")).open() as packed, Given("b", b"x").open() as plain:
        assert is_gzip(packed)
        assert packed.tell() == 0
        assert not is_gzip(plain)
