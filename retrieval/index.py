"""An index folder, opened for reading.

- `manifest.json`: what it is, with a checksum of each file
- `records.jsonl`: one record a line; `rows.npy`: key, byte offset and filters of each; `names.json`: their words
- `text.faiss`: two vectors for a document's first chunk (text and title), one for each other chunk
- `image.faiss`: one vector a picture; both have their codes in `.lists` beside them when there are very many
- `background.npz`: a sample of vectors, to tell what cosine is mere chance for this encoder
- `lexical/`: BM25 arrays
- `images/`: reduced pictures of figures and cases, without headers
"""

from __future__ import annotations

import json
import mmap
from functools import cached_property
from pathlib import Path

import numpy as np

from assistant.errors import RetrievalError
from retrieval.background import Background
from retrieval.facets import ROW, Names
from retrieval.lexical import LexicalIndex
from retrieval.manifest import Manifest, check_encoder, check_files, read_manifest, rebuild_command
from retrieval.passage import Passage
from retrieval.swap import serving_folder
from retrieval.vectors import EXACT_LIMIT, VectorFile

RECORDS_FILE = "records.jsonl"
ROWS_FILE = "rows.npy"
TEXT_FILE = "text.faiss"
IMAGE_FILE = "image.faiss"


class IndexFolder:
    """One index folder. Opening checks every file; records are read from disk only when asked for."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        large = manifest.counts["records"] > EXACT_LIMIT
        try:
            # Opened at once: when the folder is replaced later, this one goes on answering from the files it holds.
            with (path / RECORDS_FILE).open("rb") as stream:
                self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if large else stream.read()
            self.rows = np.load(path / ROWS_FILE, allow_pickle=False, mmap_mode="r" if large else None)
            if self.rows.dtype != ROW:
                raise ValueError(f"{ROWS_FILE} has other columns than this version writes")
            self.names = Names.read(path)
            self.background = Background.read(path)
            self.text = VectorFile.load(path / TEXT_FILE)
            self.image = VectorFile.load(path / IMAGE_FILE)
            self.lexical = LexicalIndex.load(path, len(self.rows), mmap=large)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise RetrievalError(
                f"{path} cannot be read ({type(error).__name__}: {error}). "
                f"Rebuild it: {rebuild_command(path, manifest)}"
            ) from error

    @classmethod
    def open(cls, path: Path, encoder_fingerprint: str, *, whole: bool = False) -> IndexFolder:
        """Open and check a folder.

        Args:
            path: the index folder.
            encoder_fingerprint: of the encoder that queries will come from.
            whole: check the content of very large files too, not only their size.
        Returns:
            The open folder.
        Raises:
            RetrievalError: it is missing, damaged, of another format, or made with another encoder.
        """
        path = serving_folder(path)
        manifest = read_manifest(path)
        try:
            check_encoder(path, manifest, encoder_fingerprint)
            check_files(path, manifest, whole=whole)
            return cls(path, manifest)
        except RetrievalError:
            if read_manifest(serving_folder(path)) == manifest:
                raise
            # The folder was replaced while it was being opened: what was read belongs to two indexes.
            return cls.open(path, encoder_fingerprint, whole=whole)

    @property
    def fingerprint(self) -> str:
        """Identity of content and encoder."""
        return self.manifest.fingerprint

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def keys(self) -> np.ndarray:
        """(N,) int64, rising: the key of each record in file order."""
        return np.ascontiguousarray(self.rows["key"])

    @cached_property
    def documents(self) -> np.ndarray:
        """(N,) int64: the number of each record's document."""
        return np.ascontiguousarray(self.rows["document"])

    def rows_of(self, keys: np.ndarray) -> np.ndarray:
        """Return the row in file order of each key."""
        return np.searchsorted(self.keys, keys)

    def line(self, row: int) -> bytes:
        """Return one record's JSON line."""
        end = int(self.rows["offset"][row + 1]) if row + 1 < len(self.rows) else len(self._bytes)
        return self._bytes[int(self.rows["offset"][row]) : end]

    def record(self, row: int) -> Passage:
        """Return one record."""
        values = json.loads(self.line(row))
        return Passage.from_dict(values)
