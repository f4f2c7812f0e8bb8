"""What is kept of an old index and what was embedded anew → the files of the next index, one block at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retrieval.background import Background
from retrieval.embed import ROLES, read_block, read_block_records
from retrieval.facets import ROW, Names
from retrieval.index import IMAGE_FILE, RECORDS_FILE, ROWS_FILE, TEXT_FILE
from retrieval.lexical_build import build_lexical
from retrieval.manifest import Manifest, file_sha256
from retrieval.passage import KINDS, Passage
from retrieval.staging import Stage
from retrieval.vector_writer import Block, change_lists, sample_size, write_vectors
from retrieval.vectors import EXACT_LIMIT, VectorFile

if TYPE_CHECKING:
    from retrieval.index import IndexFolder

_ROWS_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the next index is made of."""

    stage: Stage
    base: IndexFolder | None
    """The old index, if anything of it is kept."""
    kept: np.ndarray
    """(K,) numbers of its rows that stay, rising."""
    chosen: np.ndarray
    """(N,) numbers of staged rows that are new, rising."""
    blocks: int
    """How many blocks they were embedded in."""
    first_key: int
    """Key of the first new record."""
    exact_limit: int = EXACT_LIMIT

    @property
    def gone(self) -> np.ndarray:
        """Keys of the old index that do not stay."""
        if self.base is None:
            return np.zeros(0, dtype=np.int64)
        return np.setdiff1d(self.base.keys, self.base.keys[self.kept])

    def passages(self) -> Iterator[Passage]:
        """Give every record of the next index in order."""
        if self.base is not None:
            for row in self.kept.tolist():
                yield self.base.record(row)
        for number in range(self.blocks):
            yield from read_block_records(self.stage.folder, number)


def assemble(parts: Parts, manifest: Manifest) -> Manifest:
    """Write every file of the next index into the staging folder's `index`.

    Args:
        parts: what it is made of.
        manifest: what is known already: encoder, sources, weights; the rest is filled in here.
    Returns:
        The manifest as written.
    """
    folder = parts.stage.index
    parts.stage.clear_index()
    counts, licences, corpus_hash = _write_records(parts, folder)
    build_lexical(parts.passages(), folder / "lexical")
    for name in ("text", "image"):
        _write_vectors(parts, folder, manifest.dimension, name)
    background = parts.base.background.without(parts.gone) if parts.base else Background.empty(manifest.dimension)
    rows = parts.stage.rows()[parts.chosen] if len(parts.chosen) else np.zeros(0)
    background.filled(parts.stage.folder, parts.blocks, rows, parts.first_key).write(folder)
    _link_pictures(parts, folder)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    manifest = dataclasses.replace(
        manifest,
        counts={
            **counts,
            "text_vectors": VectorFile.load(folder / TEXT_FILE).count,
            "image_vectors": VectorFile.load(folder / IMAGE_FILE).count,
        },
        licences=licences,
        corpus_hash=corpus_hash,
        next_key=parts.first_key + len(parts.chosen),
        files={
            name: {"bytes": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)}
            for name in names
            if not name.startswith("images/")
        },
    )
    manifest.write(folder)
    return manifest


def _write_records(parts: Parts, folder: Path) -> tuple[dict[str, int], dict[str, int], str]:
    """Write records, rows and names; return the counts, the licences and a hash of the records."""
    total = len(parts.kept) + len(parts.chosen)
    rows = np.lib.format.open_memmap(folder / ROWS_FILE, "w+", dtype=ROW, shape=(total,))
    names = Names()
    staged = parts.stage.rows()
    licences: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    whole = hashlib.sha256()
    offset = 0
    with (folder / RECORDS_FILE).open("wb") as lines:
        for place, passage in enumerate(parts.passages()):
            if parts.base is not None and place < len(parts.kept):
                old = parts.base.rows[parts.kept[place]]
                key, document, digest = int(old["key"]), int(old["document"]), int(old["digest"])
            else:
                number = place - len(parts.kept)
                row = staged[parts.chosen[number]]
                key, document, digest = parts.first_key + number, int(row["document"]), int(row["digest"])
            line = json.dumps(passage.to_dict(), ensure_ascii=False).encode() + b"\n"
            rows[place] = names.row(passage, key, offset, document, digest)
            offset += lines.write(line)
            whole.update(line)
            licences[passage.licence] += 1
            kinds[passage.kind] += 1
    rows.flush()
    names.write(folder)
    documents = len(np.unique(rows["document"]))
    counts = {"records": total, "documents": documents, **{kind: kinds.get(kind, 0) for kind in KINDS}}
    return counts, dict(sorted(licences.items())), whole.hexdigest()[:16]


def _write_vectors(parts: Parts, folder: Path, width: int, name: str) -> None:
    """Write the vector file of texts or of images."""
    path = folder / (TEXT_FILE if name == "text" else IMAGE_FILE)
    gone = parts.gone
    gone = np.concatenate([gone * ROLES, gone * ROLES + 1]) if name == "text" else gone
    old: VectorFile | None = getattr(parts.base, name) if parts.base is not None else None
    if old is not None and not old.exact:
        change_lists(path, old, _new_vectors(parts, name), gone.tolist())
        return
    kept = _kept_keys(old, gone)
    count = len(kept) + sum(len(keys) for _, keys in _new_vectors(parts, name))
    sample = np.zeros((0, width), dtype=np.float32)
    if count > parts.exact_limit:
        share, rng = sample_size(count) / count, np.random.default_rng(0)
        drawn = [_draw(vectors, share, rng) for vectors, _ in _all_vectors(parts, name, old, kept)]
        sample = np.concatenate(drawn)
    blocks = _all_vectors(parts, name, old, kept)
    write_vectors(path, blocks, count, width, sample=sample, exact_limit=parts.exact_limit)


def _kept_keys(old: VectorFile | None, gone: np.ndarray) -> np.ndarray:
    """Return the places of the old exact vectors that stay."""
    if old is None or not old.count:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(~np.isin(old.exact_vectors()[1], gone))


def _all_vectors(parts: Parts, name: str, old: VectorFile | None, kept: np.ndarray) -> Iterator[Block]:
    if old is not None and len(kept):
        vectors, keys = old.exact_vectors()
        for start in range(0, len(kept), _ROWS_AT_ONCE):
            part = kept[start : start + _ROWS_AT_ONCE]
            yield vectors[part], keys[part]
    yield from _new_vectors(parts, name)


def _new_vectors(parts: Parts, name: str) -> Iterator[Block]:
    for number in range(parts.blocks):
        block = read_block(parts.stage.folder, number)
        yield (block.texts, block.text_keys) if name == "text" else (block.images, block.image_keys)


def _draw(vectors: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return vectors[np.sort(rng.permutation(len(vectors))[: int(np.ceil(share * len(vectors)))])]


def _link_pictures(parts: Parts, folder: Path) -> None:
    """Take over the reduced pictures of the records that stay."""
    if parts.base is None:
        return
    for row in parts.kept.tolist():
        image = parts.base.record(row).image
        if image and not (folder / image).exists():
            (folder / image).parent.mkdir(exist_ok=True)
            try:
                os.link(parts.base.path / image, folder / image)
            except OSError:  # another file system, or one without links
                shutil.copyfile(parts.base.path / image, folder / image)
