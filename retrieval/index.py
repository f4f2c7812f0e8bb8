"""An index folder, opened for reading.

- `manifest.json`: what it is, with a checksum of each file
- `records.jsonl`: one record a line; `rows.npy`: (N, 2) key and byte offset of each
- `text.faiss`: two vectors for a document's first chunk (text and title), one for each other chunk
- `image.faiss`: one vector a picture
- `background.npz`: a sample of vectors, to tell what cosine is mere chance for this encoder
- `lexical/`: BM25 arrays
- `images/`: reduced pictures of figures and cases, without headers
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from assistant.errors import RetrievalError
from retrieval.corpus import Passage
from retrieval.lexical import LexicalIndex
from retrieval.manifest import Manifest, check_encoder, check_files, read_manifest, rebuild_command
from retrieval.vectors import EXACT_LIMIT, VectorFile

RECORDS_FILE = "records.jsonl"
ROWS_FILE = "rows.npy"
TEXT_FILE = "text.faiss"
IMAGE_FILE = "image.faiss"
BACKGROUND_FILE = "background.npz"
ROLES = 2
"""Vectors a record may have in `TEXT_FILE`: key * ROLES is its text, key * ROLES + 1 its title."""


@dataclass(frozen=True)
class Background:
    """Vectors of records drawn at random. S of them, E wide."""

    keys: np.ndarray
    """(S,) int64, the records' keys."""
    texts: np.ndarray
    """(S, E) float32, vectors of their texts."""
    titles: np.ndarray
    """(S, E) float32, vectors of their documents' titles."""

    def surprise(self, query: np.ndarray, cosines: np.ndarray, *, titles: bool = False) -> np.ndarray:
        """Return how many standard deviations each cosine lies above what chance gives for this query.

        Args:
            query: (E,) unit length.
            cosines: (M,) of the hits.
            titles: compare with titles rather than texts.
        Returns:
            (M,) float32; zeros if the sample has no spread.
        """
        sample = self.titles if titles else self.texts
        chance = sample @ query
        spread = float(chance.std()) if len(chance) > 1 else 0.0
        if spread < 1e-6:
            return np.zeros_like(cosines)
        return np.asarray((cosines - chance.mean()) / spread, dtype=np.float32)


class IndexFolder:
    """One index folder. Opening checks every file; records are read from disk only when asked for."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._large = manifest.counts["records"] > EXACT_LIMIT
        try:
            self._rows = np.load(path / ROWS_FILE, allow_pickle=False)
            with np.load(path / BACKGROUND_FILE, allow_pickle=False) as arrays:
                self.background = Background(
                    arrays["keys"], arrays["texts"].astype(np.float32), arrays["titles"].astype(np.float32)
                )
            self.text = VectorFile.load(path / TEXT_FILE, mmap=self._large)
            self.image = VectorFile.load(path / IMAGE_FILE, mmap=self._large)
            self.lexical = LexicalIndex.load(path, len(self._rows), mmap=self._large)
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
        manifest = read_manifest(path)
        check_encoder(path, manifest, encoder_fingerprint)
        check_files(path, manifest, whole=whole)
        return cls(path, manifest)

    @property
    def fingerprint(self) -> str:
        """Identity of content and encoder."""
        return self.manifest.fingerprint

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def keys(self) -> np.ndarray:
        """(N,) int64, rising: the key of each record in file order."""
        return np.asarray(self._rows[:, 0])

    def rows_of(self, keys: np.ndarray) -> np.ndarray:
        """Return the row in file order of each key."""
        return np.searchsorted(self._rows[:, 0], keys)

    @cached_property
    def _bytes(self) -> bytes | mmap.mmap:
        with (self.path / RECORDS_FILE).open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if self._large else stream.read()

    def line(self, row: int) -> bytes:
        """Return one record's JSON line."""
        end = int(self._rows[row + 1, 1]) if row + 1 < len(self._rows) else len(self._bytes)
        return self._bytes[int(self._rows[row, 1]) : end]

    def record(self, row: int) -> Passage:
        """Return one record."""
        values = json.loads(self.line(row))
        return Passage.from_dict(values)
