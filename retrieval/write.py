"""Making and changing index folders: always a new folder beside the old one, put in its place when it is whole."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from assistant.errors import RetrievalError
from retrieval import lexical
from retrieval.corpus import KINDS, Corpus, Passage
from retrieval.embed import Progress, embed, save_background, write_background
from retrieval.encoder import Encoder
from retrieval.index import BACKGROUND_FILE, IMAGE_FILE, RECORDS_FILE, ROLES, ROWS_FILE, TEXT_FILE, IndexFolder
from retrieval.lexical import LexicalIndex
from retrieval.manifest import FORMAT, MANIFEST_FILE, METRIC, Manifest, file_sha256
from retrieval.vectors import EXACT_LIMIT, VectorFile

logger = logging.getLogger(__name__)

DEFAULT_WEIGHTS: dict[str, float] = {"dense": 0.5, "lexical": 1.0, "image": 0.5}
_FILES = (RECORDS_FILE, ROWS_FILE, TEXT_FILE, IMAGE_FILE, BACKGROUND_FILE, *lexical.FILES)


def build_index(
    corpus: Corpus,
    encoder: Encoder,
    out: Path,
    *,
    sources: Sequence[str] = (),
    model: str = "starter",
    weights: dict[str, float] | None = None,
    exact_limit: int = EXACT_LIMIT,
    progress: Progress | None = None,
) -> Manifest:
    """Embed a corpus and write its index folder.

    Args:
        corpus: from `read_corpora`.
        encoder: its vectors fill the index, and only it can query it.
        out: the folder to write; an index that stands there is replaced once the new one is whole.
        sources: how the corpora were named, for the rebuild command.
        model: name of the encoder's model, for the rebuild command.
        weights: fusion weights; `DEFAULT_WEIGHTS` where not given.
        exact_limit: above this many vectors search is approximate.
        progress: called with records done and records in all.
    Returns:
        The manifest.
    Raises:
        RetrievalError: `out` holds something that is no index, or a picture cannot be read.
    """
    with _new_folder(out) as folder:
        keys = np.arange(len(corpus.passages), dtype=np.int64)
        passages, vectors = embed(corpus.passages, keys, encoder, folder, progress)
        VectorFile.build(vectors.texts, vectors.text_keys, exact_limit=exact_limit).save(folder / TEXT_FILE)
        VectorFile.build(vectors.images, vectors.image_keys, exact_limit=exact_limit).save(folder / IMAGE_FILE)
        write_background(folder, passages, keys, vectors)
        manifest = Manifest(
            format=FORMAT,
            created=_now(),
            encoder=encoder.fingerprint,
            model=model,
            dimension=int(vectors.texts.shape[1]),
            metric=METRIC,
            sources=tuple(sources),
            corpus_hash=corpus.content_hash,
            counts={},
            licences={},
            weights={**DEFAULT_WEIGHTS, **(weights or {})},
            next_key=len(passages),
        )
        manifest = _finish(folder, manifest, passages, keys)
    return manifest


def add_passages(folder: Path, passages: Sequence[Passage], encoder: Encoder) -> Manifest:
    """Add passages to an index; only they are embedded. An exact index stays exact, whatever its size.

    Args:
        folder: an index folder.
        passages: new ones; none may have an id that is there already.
        encoder: the one the index was built with.
    Returns:
        The new manifest.
    Raises:
        RetrievalError: the index does not open with this encoder, or an id is taken.
    """
    index = IndexFolder.open(folder, encoder.fingerprint)
    old = [index.record(row) for row in range(len(index))]
    taken = {passage.id for passage in old} & {passage.id for passage in passages}
    if taken:
        raise RetrievalError(
            f"{folder} has a passage with id {sorted(taken)[0]!r} already ({len(taken)} in all); delete it first."
        )
    with _new_folder(folder) as new:
        _link_pictures(folder, new, old)
        first = index.manifest.next_key
        keys = np.arange(first, first + len(passages), dtype=np.int64)
        added, vectors = embed(passages, keys, encoder, new)
        text, image = VectorFile.load(folder / TEXT_FILE), VectorFile.load(folder / IMAGE_FILE)
        text.add(vectors.texts, vectors.text_keys)
        image.add(vectors.images, vectors.image_keys)
        text.save(new / TEXT_FILE)
        image.save(new / IMAGE_FILE)
        shutil.copyfile(folder / BACKGROUND_FILE, new / BACKGROUND_FILE)
        manifest = dataclasses.replace(index.manifest, next_key=first + len(passages))
        manifest = _finish(new, manifest, [*old, *added], np.concatenate([index.keys, keys]))
    return manifest


def delete_documents(folder: Path, encoder: Encoder, *, ids: Collection[str] = (), patient: str | None = None) -> int:
    """Take documents out of an index, with all their chunks, vectors and pictures; nothing is embedded again.

    Args:
        folder: an index folder.
        encoder: the one the index was built with.
        ids: of documents, or of single chunks.
        patient: a patient key: every case of hers goes.
    Returns:
        How many records were taken out.
    Raises:
        RetrievalError: the index does not open, or nothing would be left.
    """
    index = IndexFolder.open(folder, encoder.fingerprint)
    records = [index.record(row) for row in range(len(index))]
    kept = [
        row
        for row, record in enumerate(records)
        if record.id not in ids and record.document not in ids and (patient is None or record.patient_key != patient)
    ]
    gone = np.setdiff1d(index.keys, index.keys[kept])
    if not len(gone):
        return 0
    if not kept:
        raise RetrievalError(f"Nothing would be left of {folder}; delete the folder instead.")
    with _new_folder(folder) as new:
        remaining = [records[row] for row in kept]
        _link_pictures(folder, new, remaining)
        text, image = VectorFile.load(folder / TEXT_FILE), VectorFile.load(folder / IMAGE_FILE)
        text.remove(np.concatenate([gone * ROLES, gone * ROLES + 1]))
        image.remove(gone)
        text.save(new / TEXT_FILE)
        image.save(new / IMAGE_FILE)
        sample = index.background
        stays = ~np.isin(sample.keys, gone)
        save_background(new, sample.keys[stays], sample.texts[stays], sample.titles[stays])
        _finish(new, index.manifest, remaining, index.keys[kept])
    return len(gone)


def _finish(folder: Path, manifest: Manifest, passages: Sequence[Passage], keys: np.ndarray) -> Manifest:
    """Write records, lexical index and manifest; the vector files stand there already."""
    offset = 0
    rows = np.zeros((len(passages), 2), dtype=np.int64)
    with (folder / RECORDS_FILE).open("wb") as stream:
        for row, passage in enumerate(passages):
            rows[row] = keys[row], offset
            offset += stream.write(json.dumps(passage.to_dict(), ensure_ascii=False).encode() + b"\n")
    np.save(folder / ROWS_FILE, rows, allow_pickle=False)
    LexicalIndex.build(passages).save(folder)
    kinds = Counter(passage.kind for passage in passages)
    counts = {
        "records": len(passages),
        "documents": len({passage.document for passage in passages}),
        "text_vectors": VectorFile.load(folder / TEXT_FILE, mmap=True).count,
        "image_vectors": VectorFile.load(folder / IMAGE_FILE, mmap=True).count,
        **{kind: kinds.get(kind, 0) for kind in KINDS},
    }
    manifest = dataclasses.replace(
        manifest,
        created=_now(),
        counts=counts,
        licences=dict(sorted(Counter(passage.licence for passage in passages).items())),
        corpus_hash=Corpus(tuple(passages), 0, 0).content_hash,
        files={
            name: {"bytes": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)} for name in _FILES
        },
    )
    manifest.write(folder)
    return manifest


def _link_pictures(old: Path, new: Path, passages: Sequence[Passage]) -> None:
    for passage in passages:
        if passage.image:
            (new / passage.image).parent.mkdir(exist_ok=True)
            try:
                os.link(old / passage.image, new / passage.image)
            except OSError:  # another file system, or one without links
                shutil.copyfile(old / passage.image, new / passage.image)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Give a fresh folder beside `out`; on success it takes the place of `out`, on failure it goes away."""
    if out.exists() and not (out / MANIFEST_FILE).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise RetrievalError(f"{out} exists and is no index; give another folder, or remove it first.")
    out.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex[:8]
    folder = out.parent / f".{out.name}.new-{mark}"
    folder.mkdir()
    try:
        yield folder
        aside = out.parent / f".{out.name}.old-{mark}"
        if out.exists():
            out.rename(aside)
        try:
            folder.rename(out)
        except OSError:
            if aside.exists():
                aside.rename(out)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    return moment.replace(microsecond=0).isoformat()
