"""Making and changing index folders.

Each of these builds the next index in a staging folder beside the old one and puts it in its place when it is whole: a
build that is killed leaves the old index serving, and the same call again goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import RetrievalError
from retrieval.assemble import Parts, assemble
from retrieval.changes import Prune, changed_rows, memory_of
from retrieval.corpus import Corpus
from retrieval.dedup import Seen
from retrieval.embed import Progress
from retrieval.encoder import Encoder
from retrieval.index import IndexFolder
from retrieval.manifest import FORMAT, MANIFEST_FILE, METRIC, Manifest, read_manifest
from retrieval.passage import Passage
from retrieval.reading import Faults, Tally
from retrieval.staging import Source, Stage, check_target
from retrieval.swap import mend, only_writer, put_in_place, staging_folder
from retrieval.vectors import EXACT_LIMIT

logger = logging.getLogger(__name__)

DEFAULT_WEIGHTS: dict[str, float] = {"dense": 0.5, "lexical": 1.0, "image": 0.5}


@dataclasses.dataclass(frozen=True)
class Change:
    """What a change did to an index."""

    manifest: Manifest
    added: int
    """Records that are new or changed."""
    removed: int
    """Records that were taken out, those that were changed among them."""
    tally: Tally
    """What was left out while reading."""
    resumed: bool = False
    """Whether an earlier attempt was gone on with."""


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
    """Embed a corpus that is in memory and write its index folder; see `build_streamed`.

    Args:
        corpus: from `read_corpora`.
        encoder: its vectors fill the index, and only it can query it.
        out: the folder to write.
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
    return build_streamed(
        lambda faults, tally: corpus.passages,
        encoder,
        out,
        plan={"corpus": corpus.content_hash},
        sources=sources,
        model=model,
        weights=weights,
        near_duplicates=True,
        exact_limit=exact_limit,
        progress=progress,
    ).manifest


def build_streamed(
    source: Source,
    encoder: Encoder,
    out: Path,
    *,
    plan: dict[str, Any],
    sources: Sequence[str] = (),
    model: str = "starter",
    weights: dict[str, float] | None = None,
    near_duplicates: bool = False,
    exact_limit: int = EXACT_LIMIT,
    progress: Progress | None = None,
) -> Change:
    """Read, embed and index pieces one after another; memory does not grow with their number.

    Args:
        source: gives the pieces.
        encoder: its vectors fill the index, and only it can query it.
        out: the folder to write; an index that stands there is replaced once the new one is whole.
        plan: what the pieces depend on; an attempt with the same plan that was killed is gone on with.
        sources: how the corpora were named, for the rebuild command.
        model: name of the encoder's model, for the rebuild command.
        weights: fusion weights; `DEFAULT_WEIGHTS` where not given.
        near_duplicates: whether pieces that differ in little are all kept.
        exact_limit: above this many vectors search is approximate.
        progress: called with records done and records in all.
    Returns:
        What was done.
    Raises:
        RetrievalError: `out` holds something that is no index, nothing was read, or a picture cannot be read.
    """

    def seen(path: Path | None) -> Seen:
        return Seen(path, near=not near_duplicates)

    def choose(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
        count = len(stage.rows())
        if not count:
            raise RetrievalError(f"The corpus is empty: {', '.join(sources) or 'no source'} holds no passage.")
        return np.zeros(0, dtype=np.int64), np.arange(count)

    check_target(out, MANIFEST_FILE)
    manifest = Manifest(
        format=FORMAT,
        created="",
        encoder=encoder.fingerprint,
        model=model,
        dimension=int(encoder.embed_texts(["width"]).shape[1]),
        metric=METRIC,
        sources=tuple(sources),
        corpus_hash="",
        counts={},
        licences={},
        weights={**DEFAULT_WEIGHTS, **(weights or {})},
        next_key=0,
    )
    plan = {"build": plan, "near": near_duplicates, "encoder": encoder.fingerprint}
    return _change(out, None, manifest, encoder, plan, source, seen, choose, exact_limit, progress)


def add_passages(
    folder: Path,
    passages: Iterable[Passage] | Source,
    encoder: Encoder,
    *,
    plan: dict[str, Any] | None = None,
    replace: bool = False,
    prune: Prune | None = None,
    exact_limit: int = EXACT_LIMIT,
    progress: Progress | None = None,
) -> Change:
    """Add passages to an index; only they are embedded.

    Args:
        folder: an index folder.
        passages: new ones, or what gives them.
        encoder: the one the index was built with.
        plan: what the passages depend on; without one, an attempt that was killed is not gone on with.
        replace: take documents that the index has already in place of the old ones, where anything about them has
            changed; without it, an id that is taken is refused.
        prune: with `replace`, what to take out of those that are not among the passages; None for nothing.
        exact_limit: an exact index that grows beyond it becomes approximate; nothing is embedded again for it.
        progress: called with records done and records in all.
    Returns:
        What was done.
    Raises:
        RetrievalError: the index does not open with this encoder, or an id is taken.
    """
    mend(folder)
    base = IndexFolder.open(folder, encoder.fingerprint)
    given = passages if callable(passages) else tuple(passages)

    def source(faults: Faults, tally: Tally) -> Iterable[Passage]:
        return given(faults, tally) if callable(given) else given

    def seen(path: Path | None) -> Seen:
        return memory_of(base, path, known=not replace)

    def choose(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
        if replace:
            return changed_rows(base, stage, prune)
        return np.arange(len(base)), np.arange(len(stage.rows()))

    once = plan or {"once": os.urandom(8).hex()}
    staged = {"add": once, "base": base.fingerprint, "replace": replace, "prune": repr(prune)}
    return _change(folder, base, base.manifest, encoder, staged, source, seen, choose, exact_limit, progress)


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
    mend(folder)
    base = IndexFolder.open(folder, encoder.fingerprint)
    wanted = set(ids)

    def stays(record: Passage) -> bool:
        named = record.id in wanted or record.document in wanted
        return not named and (patient is None or record.patient_key != patient)

    kept = np.array([row for row in range(len(base)) if stays(base.record(row))], dtype=np.int64)
    if len(kept) == len(base):
        # A delete that was killed at its very end has done its work, but may have left the old records aside.
        with only_writer(folder):
            shutil.rmtree(staging_folder(folder), ignore_errors=True)  # another may begin in it at this moment
        return 0
    if not len(kept):
        raise RetrievalError(f"Nothing would be left of {folder}; delete the folder instead.")

    def choose(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
        return kept, np.zeros(0, dtype=np.int64)

    plan = {"delete": os.urandom(8).hex()}
    change = _change(folder, base, base.manifest, encoder, plan, lambda faults, tally: (), Seen, choose)
    return change.removed


def _change(
    out: Path,
    base: IndexFolder | None,
    manifest: Manifest,
    encoder: Encoder,
    plan: dict[str, Any],
    source: Source,
    seen: Callable[[Path | None], Seen],
    choose: Callable[[Stage], tuple[np.ndarray, np.ndarray]],
    exact_limit: int = EXACT_LIMIT,
    progress: Progress | None = None,
) -> Change:
    """Read, embed, assemble, put in place; `choose` says which old rows stay and which staged rows are new."""
    with only_writer(out):
        mend(out)
        if base is not None and read_manifest(out) != base.manifest:
            raise RetrievalError(f"{out} was changed by another process meanwhile; run this again.")
        stage = Stage(staging_folder(out), plan)
        with stage.kept_if_worth_it():
            return _run(stage, out, base, manifest, encoder, source, seen, choose, exact_limit, progress)


def _run(
    stage: Stage,
    out: Path,
    base: IndexFolder | None,
    manifest: Manifest,
    encoder: Encoder,
    source: Source,
    seen: Callable[[Path | None], Seen],
    choose: Callable[[Stage], tuple[np.ndarray, np.ndarray]],
    exact_limit: int,
    progress: Progress | None,
) -> Change:
    tally = stage.read(source, seen)
    kept, chosen = choose(stage)
    removed = len(base) - len(kept) if base is not None else 0
    if base is not None and not removed and not len(chosen):
        stage.drop()
        return Change(manifest, 0, 0, tally)
    blocks = stage.embed(chosen, manifest.next_key, encoder, progress)
    parts = Parts(stage, base, kept, chosen, blocks, manifest.next_key, exact_limit)
    manifest = assemble(parts, dataclasses.replace(manifest, created=_now()))
    put_in_place(stage.index, out)
    stage.drop()
    return Change(manifest, len(chosen), removed, tally, stage.resumed)


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    return moment.replace(microsecond=0).isoformat()
