"""Filling and changing a database: from an index folder, from another database, from passages."""

from __future__ import annotations

import dataclasses
import tempfile
import uuid
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from assistant.errors import RetrievalError
from retrieval.background import BACKGROUND_FILE
from retrieval.embed import ROLES, Progress, embed_block, read_block, read_block_records
from retrieval.encoder import Encoder
from retrieval.index import IMAGE_FILE, TEXT_FILE, IndexFolder
from retrieval.manifest import read_manifest
from retrieval.passage import Passage
from retrieval.stores.store import Head, Store, Stored
from retrieval.vectors import EXACT_LIMIT, VectorFile

BATCH = 256


def head_of(index: IndexFolder) -> Head:
    """Return the head that a store with an index folder's content has."""
    manifest = index.manifest
    return Head(
        encoder=manifest.encoder,
        model=manifest.model,
        dimension=manifest.dimension,
        sources=manifest.sources,
        weights=manifest.weights,
        version=uuid.uuid4().hex,
        fusion=manifest.fusion,
        search=manifest.search,
        domain=manifest.domain,
    )


def export_folder(index: IndexFolder, batch: int = BATCH) -> Iterator[list[Stored]]:
    """Yield all records of an index folder with their vectors, in order."""
    texts, images = VectorFile.load(index.path / TEXT_FILE), VectorFile.load(index.path / IMAGE_FILE)
    titled: set[str] = set()
    for start in range(0, len(index), batch):
        keys = index.keys[start : start + batch].tolist()
        passages = [index.record(row) for row in range(start, start + len(keys))]
        first = []
        for passage in passages:
            first.append(passage.document not in titled)
            titled.add(passage.document)
        text = texts.vectors_of([key * ROLES for key in keys])
        title = texts.vectors_of([key * ROLES + 1 for key, is_first in zip(keys, first, strict=True) if is_first])
        image = images.vectors_of([key for key, one in zip(keys, passages, strict=True) if one.image])
        yield [
            Stored(
                key,
                passage,
                text[key * ROLES],
                title.get(key * ROLES + 1),
                image.get(key),
                (index.path / passage.image).read_bytes() if passage.image else None,
            )
            for key, passage in zip(keys, passages, strict=True)
        ]


def copy_index(source: IndexFolder | Store, target: Store, progress: Progress | None = None) -> Head:
    """Fill an empty database with all that an index holds; nothing is embedded again.

    Args:
        source: an open folder or another database.
        target: to fill.
        progress: called with records done and records in all.
    Returns:
        The target's head.
    Raises:
        RetrievalError: the target holds something already.
    """
    if isinstance(source, IndexFolder):
        head, background, total = head_of(source), (source.path / BACKGROUND_FILE).read_bytes(), len(source)
        parts = export_folder(source)
    else:
        head, background = source.head(), source.background()
        total, parts = head.records, source.export(BATCH)
    target.create(dataclasses.replace(head, complete=False), background)
    done = 0
    for part in parts:
        target.add(part)
        done += len(part)
        if progress:
            progress(done, total)
    target.optimise(EXACT_LIMIT)
    target.put_head(dataclasses.replace(target.head(), complete=True))
    return target.head()


def add_to_store(store: Store, passages: Sequence[Passage], encoder: Encoder) -> Head:
    """Embed passages and add them to a database, all or none.

    Args:
        store: filled with this encoder's vectors.
        passages: new ones, pictures named by their path.
        encoder: the store's own.
    Returns:
        The new head.
    Raises:
        RetrievalError: another encoder filled the store, or an id is taken.
    """
    head = store.head()
    if head.encoder != encoder.fingerprint:
        raise RetrievalError(
            f"{store.name} was filled with encoder {head.encoder}, but this one is {encoder.fingerprint}. "
            "Use the model that it was filled with."
        )
    taken = store.keys_of([passage.id for passage in passages], None)
    if taken:
        raise RetrievalError(
            f"{store.name} has {len(taken)} record(s) of these ids already, the first with key {taken[0]}; "
            "delete them first."
        )
    keys = np.arange(head.next_key, head.next_key + len(passages), dtype=np.int64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first: dict[str, int] = {}
        for place, passage in enumerate(passages):
            first.setdefault(passage.document, place)
        titled = np.isin(np.arange(len(passages)), list(first.values()))
        embed_block(folder, 0, passages, keys, titled, encoder, folder)
        vectors = read_block(folder, 0)
        texts = dict(zip(vectors.text_keys.tolist(), vectors.texts, strict=True))
        images = dict(zip(vectors.image_keys.tolist(), vectors.images, strict=True))
        records = [
            Stored(
                key,
                passage,
                texts[key * ROLES],
                texts.get(key * ROLES + 1),
                images.get(key),
                (folder / passage.image).read_bytes() if passage.image else None,
            )
            for key, passage in zip(keys.tolist(), read_block_records(folder, 0), strict=True)
        ]
    return store.add(records)


def delete_from_store(store: Store, *, ids: Collection[str] = (), patient: str | None = None) -> int:
    """Take documents out of a database, all or none.

    Args:
        store: to change.
        ids: of documents, or of single chunks.
        patient: a patient key: every case of hers goes.
    Returns:
        How many records were taken out.
    Raises:
        RetrievalError: nothing would be left.
    """
    gone = store.keys_of(ids, patient)
    if not gone:
        return 0
    if len(gone) == store.head().records:
        raise RetrievalError(f"Nothing would be left of {store.name}; drop it instead.")
    store.delete(gone)
    return len(gone)


def source_of(name: str, fingerprint: str | None = None) -> IndexFolder:
    """Open an index folder to copy from, whatever its encoder.

    Args:
        name: the folder.
        fingerprint: of the encoder it must have; None takes the one it names itself.
    Returns:
        The folder, all its checksums right.
    """
    path = Path(name).expanduser()
    return IndexFolder.open(path, fingerprint or read_manifest(path).encoder, whole=True)
