"""What a NIfTI header claims, looked at before a library reads on: a small packed file can claim to be a huge one.

Source: the NIfTI-1.1 header (nifti1.h: sizeof_hdr at byte 0, vox_offset at 108, magic at 344) and the NIfTI-2 header
(nifti2.h: magic at 4, vox_offset at 168).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import BinaryIO, Literal, cast

from assistant.errors import ImageError
from assistant.imaging.given import Readable, is_gzip

MOST_NOTES = 16 * 1024**2
"""The most bytes between header and voxels (extensions, free notes); what stands there is never read as text."""
_SIZES = {348: 1, 540: 2}
_MAGIC = {1: (344, b"n+1\0"), 2: (4, b"n+2\0\r\n\x1a\n")}
_OFFSET = {1: (108, "f"), 2: (168, "q")}
_PAIRS = {1: b"ni1\0", 2: b"ni2\0"}


def nifti_version(head: bytes) -> Literal[1, 2] | None:
    """Tell from the first 540 bytes, unpacked, which NIfTI a file is; None for anything else."""
    if len(head) < 352:
        return None
    for order in "<>":
        version = _SIZES.get(struct.unpack_from(f"{order}i", head)[0])
        if version is not None:
            place, magic = _MAGIC[version]
            known = (magic, _PAIRS[version] + magic[4:])
            return cast(Literal[1, 2], version) if head[place : place + len(magic)] in known else None
    return None


def read_head(stream: BinaryIO) -> bytes:
    """Return the first 540 bytes of a stream, less if it ends before."""
    stream.seek(0)
    head = stream.read(540)
    stream.seek(0)
    return head


def unpacked(stream: BinaryIO) -> BinaryIO:
    """Return a stream of what is packed in another one, or that one itself; nothing is unpacked yet."""
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if is_gzip(stream) else stream


def holds_nifti(file: Readable) -> bool:
    """Tell by its bytes, packed or not, whether a file is NIfTI; by at most 540 bytes of what is in it."""
    try:
        with file.open("rb") as opened:
            return nifti_version(read_head(unpacked(opened))) is not None
    except (OSError, EOFError, zlib.error):
        return False


def check_head(stream: BinaryIO) -> Literal[1, 2]:
    """Refuse a file that is no NIfTI, or in which too much stands before the voxels.

    Args:
        stream: of the unpacked file; it is left at its beginning.
    Returns:
        Which NIfTI it is.
    Raises:
        ImageError: what is wrong, and what to do.
    """
    head = read_head(stream)
    version = nifti_version(head)
    if version is None:
        raise ImageError("this is no NIfTI volume that can be read, or it is cut off. Copy or convert it again.")
    place, _ = _MAGIC[version]
    if head[place : place + 4] == _PAIRS[version]:
        raise ImageError("this is one of a pair of files (.hdr and .img). Convert them to one .nii.gz.")
    order = "<" if struct.unpack_from("<i", head)[0] in _SIZES else ">"
    place, kind = _OFFSET[version]
    offset = struct.unpack_from(order + kind, head, place)[0]
    if not 0 <= offset <= MOST_NOTES:
        raise ImageError(
            f"{offset:.0f} bytes stand before its voxels, more than the limit of {MOST_NOTES}. Convert it again."
        )
    return version
