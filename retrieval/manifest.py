"""`manifest.json`: what an index folder holds, with which encoder it was made, and a checksum of each file."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from assistant.errors import RetrievalError

FORMAT = 2
MANIFEST_FILE = "manifest.json"
METRIC = "cosine"
_WHOLE_CHECK_BYTES = 256 * 2**20
_MAY_LACK = frozenset({"search", "domain"})


@dataclass(frozen=True)
class Manifest:
    """The head of an index folder; every key is required and no other is allowed."""

    format: int
    """Version of the folder's form."""
    created: str
    """UTC, ISO 8601."""
    encoder: str
    """Fingerprint of the encoder whose vectors these are."""
    model: str
    """Name or folder of the model the encoder came from: for the rebuild command."""
    dimension: int
    metric: str
    sources: tuple[str, ...]
    """The corpora as they were named when the index was built."""
    corpus_hash: str
    counts: dict[str, int]
    """records, documents, text_vectors, image_vectors, and one number for each kind."""
    licences: dict[str, int]
    """Licence → number of records under it."""
    weights: dict[str, float]
    """Weight of the dense, lexical and image lists in the fusion."""
    next_key: int
    """The key that the next record added will get; keys are never used twice."""
    fusion: str = "rank"
    """How the lists are joined; see `SearchSettings.fusion`."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """File → {"bytes", "sha256"}."""
    search: dict[str, float] = field(default_factory=dict)
    """`floor` and `drop` as `retrieval.tune` fitted them; empty takes those of `SearchSettings`. May be left out."""
    domain: dict[str, Any] = field(default_factory=dict)
    """What `retrieval.domain` fitted; empty for an index without a domain router. May be left out."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any record, vector or the encoder."""
        sums = sorted((name, entry["sha256"]) for name, entry in self.files.items())
        parts = [self.encoder, self.weights, self.fusion, sums, *(one for one in (self.search, self.domain) if one)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into a folder."""
        (folder / MANIFEST_FILE).write_text(self.text(), encoding="utf-8")

    def text(self) -> str:
        """Return what `manifest.json` holds."""
        values = {name: value for name, value in asdict(self).items() if value or name not in _MAY_LACK}
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read and check a folder's manifest.

    Args:
        folder: an index folder.
    Returns:
        The manifest.
    Raises:
        RetrievalError: the folder or its manifest is missing, broken or of another format version.
    """
    path = folder / MANIFEST_FILE
    mend = f"Build it: {rebuild_command(folder, None)}"
    if not folder.is_dir():
        raise RetrievalError(f"There is no index folder {folder}. {mend}")
    if not path.is_file():
        raise RetrievalError(f"{folder} is no index: it has no {MANIFEST_FILE}. {mend}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RetrievalError(f"{path} cannot be read as JSON ({error}). {mend}") from error
    names = {item.name for item in fields(Manifest)}
    if not isinstance(values, dict) or set(values) | _MAY_LACK != names:
        keys = set(values) if isinstance(values, dict) else set()
        odd = ", ".join(sorted((keys ^ names) - _MAY_LACK)) or "no object"
        raise RetrievalError(f"{path} has missing or unknown keys: {odd}. {mend}")
    manifest = Manifest(**{**values, "sources": tuple(values["sources"])})
    if manifest.format != FORMAT:
        raise RetrievalError(
            f"{folder} has index format {manifest.format}, but this version reads {FORMAT}. "
            f"Rebuild it: {rebuild_command(folder, manifest)}"
        )
    return manifest


def replace_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Put another manifest in the place of a folder's own, at once: a reader sees the old one or the new one.

    Args:
        folder: an index folder.
        manifest: of the same files.
    Returns:
        The manifest.
    """
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as aside:
        manifest.write(Path(aside))
        os.replace(Path(aside) / MANIFEST_FILE, folder / MANIFEST_FILE)
    return manifest


def check_files(folder: Path, manifest: Manifest, *, whole: bool = False) -> None:
    """Compare every file with the manifest.

    Args:
        folder: the index folder.
        manifest: its manifest.
        whole: read files above 256 MiB too; by default only their size is compared: a large index opens at once.
    Raises:
        RetrievalError: a file is missing, cut short or changed.
    """
    mend = f"Rebuild it: {rebuild_command(folder, manifest)}"
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise RetrievalError(f"{folder} is incomplete: {name} is missing. {mend}")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise RetrievalError(f"{path} is damaged: it has {size} bytes, {entry['bytes']} were written. {mend}")
        if (whole or size <= _WHOLE_CHECK_BYTES) and file_sha256(path) != entry["sha256"]:
            raise RetrievalError(f"{path} is damaged: its checksum is not the one in {MANIFEST_FILE}. {mend}")


def check_encoder(folder: Path, manifest: Manifest, fingerprint: str) -> None:
    """Refuse an index whose vectors come from another encoder.

    Args:
        folder: the index folder.
        manifest: its manifest.
        fingerprint: of the encoder in use.
    Raises:
        RetrievalError: the fingerprints differ.
    """
    if manifest.encoder != fingerprint:
        raise RetrievalError(
            f"{folder} was built with encoder {manifest.encoder}, but this assistant uses {fingerprint}. "
            f"Rebuild it: {rebuild_command(folder, manifest)} (with --model for the model in use)"
        )


def rebuild_command(folder: Path, manifest: Manifest | None) -> str:
    """Return the command that builds this index again; without a manifest the corpora are not known."""
    corpora = shlex.join(manifest.sources) if manifest else "CORPUS"
    model = f" --model {shlex.quote(manifest.model)}" if manifest and manifest.model != "starter" else ""
    return f"python -m retrieval.build {corpora} --out {shlex.quote(str(folder))}{model}"


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
