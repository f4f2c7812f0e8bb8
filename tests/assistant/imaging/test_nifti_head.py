import gzip
import tracemalloc

import nibabel
import numpy as np
import pytest

from assistant.errors import ImageError
from assistant.imaging.given import Given
from assistant.imaging.nifti import read_nifti
from assistant.imaging.nifti_head import MOST_NOTES, holds_nifti, nifti_version


def nifti(kind=nibabel.Nifti1Image, **fields):
    image = kind(np.zeros((4, 5, 6), np.int16), np.diag([1.0, 1, 3, 1]))
    for name, value in fields.items():
        image.header[name] = value
    return image.to_bytes()


@pytest.mark.parametrize(("kind", "version"), [(nibabel.Nifti1Image, 1), (nibabel.Nifti2Image, 2)])
def test_both_kinds_are_told_by_their_bytes_packed_or_not(kind, version):
    content = nifti(kind)
    assert nifti_version(content[:540]) == version
    assert holds_nifti(Given("a", content))
    assert holds_nifti(Given("a", gzip.compress(content)))
    assert read_nifti(Given("a", gzip.compress(content))).values.shape == (6, 5, 4)


@pytest.mark.parametrize("content", [b"", b"text" * 200, gzip.compress(b"text" * 200), gzip.compress(b"x" * 999)[:20]])
def test_other_files_are_none(content):
    assert not holds_nifti(Given("a", content))


def test_a_big_endian_header_is_read_too():
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4), header)
    assert nifti_version(image.to_bytes()[:540]) == 1


def test_one_of_a_pair_of_files_is_refused():
    content = bytearray(nifti())
    content[344:348] = b"ni1\0"
    with pytest.raises(ImageError, match=r"Image 1: this is one of a pair of files \(\.hdr and \.img\)\. Convert them"):
        read_nifti(Given("Image 1", bytes(content)))


def bomb(offset):
    """A header that puts notes of a gigabyte before its voxels, and the zeros that they would be: a megabyte packed."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((64, 64, 8))
    head = bytearray(header.binaryblock)
    head[108:112] = np.float32(offset).tobytes()
    notes = bytes([1, 0, 0, 0]) + np.array([offset - 352, 6], "<i4").tobytes()
    return gzip.compress(bytes(head) + notes + bytes(64 * 1024**2), 1)


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused_unread():
    packed = bomb(2**30)
    assert len(packed) < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match=rf"1073741824 bytes stand before its voxels, .* limit of {MOST_NOTES}"):
            read_nifti(Given("Image 1", packed))
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024**2
    finally:
        tracemalloc.stop()


def test_a_volume_far_inside_a_file_is_refused():
    content = nibabel.Nifti1Image(np.zeros((8, 8, 8, 40), np.float64), np.eye(4)).to_bytes()
    with pytest.raises(ImageError, match="volume 40 of the file lies too far inside it. Give it as a file of its own"):
        read_nifti(Given("a", content), frame=39, max_voxels=8**3)


def test_the_limit_of_a_server_holds():
    with pytest.raises(ImageError, match=r"\(4, 5, 6\) voxels, more than the limit of 100"):
        read_nifti(Given("a", nifti()), max_voxels=100)


def test_texts_of_the_header_are_left_behind():
    texts = {"descrip": b"Doe^Jane", "intent_name": b"H-4711", "db_name": b"Doe^Jane", "aux_file": b"H-4711"}
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
    for name, value in texts.items():
        image.header[name] = value
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Doe^Jane born 1950"))
    volume = read_nifti(Given("a", image.to_bytes()))
    told = repr([volume, *volume.pictures(), volume.series])
    assert "Doe" not in told
    assert "4711" not in told
