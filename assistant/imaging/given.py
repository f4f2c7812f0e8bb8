"""`Given`: an uploaded file, by a name of ours; what its sender called it never gets into a message."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_GZIP = b"\x1f\x8b"
_PIECE = 1 << 20


@dataclass(frozen=True)
class Given:
    """A file that came from outside, on the disk or in memory; it is read as a path is."""

    name: str
    """What messages call it, such as "Image 3"."""
    source: Path | bytes = field(repr=False)
    """Where it lies, or its bytes."""
    parent: str = "the files that were sent"
    """What messages call all of them."""

    def __str__(self) -> str:
        return self.name

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open it for reading.

        Args:
            mode: "rb"; nothing is written.
        Returns:
            A stream of its bytes.
        Raises:
            OSError: the file is gone.
            ValueError: another mode.
        """
        if mode != "rb":
            raise ValueError(f"mode is {mode!r}; what was sent is only read, with 'rb'.")
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    def digest(self) -> str:
        """Return a hash of its name and content, in place of a path."""
        made = hashlib.sha256(self.name.encode())
        with self.open() as stream:
            while piece := stream.read(_PIECE):
                made.update(piece)
        return made.hexdigest()


Readable = Path | Given
"""What volumes are read from."""


def is_gzip(stream: BinaryIO) -> bool:
    """Tell by the first bytes whether a stream is packed with gzip; it is left at its beginning."""
    stream.seek(0)
    packed = stream.read(2) == _GZIP
    stream.seek(0)
    return packed
