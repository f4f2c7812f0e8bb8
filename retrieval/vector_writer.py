"""Writing vector files block by block, in memory that does not grow with their number.

Up to the limit the file is exact. Beyond it, vectors are put into inverted lists of 16-bit codes in shards of a fixed
size, and the shards' lists are joined on disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.vectors import EXACT_LIMIT, LISTS_ENDING, VectorFile, _quiet

Block = tuple[np.ndarray, np.ndarray]
"""(N, E) float32 vectors and (N,) int64 keys."""

_SHARD = 32_768
_MOST_LISTS = 1024
_TRAIN_PER_LIST = 39
_LISTS_AT_ONCE = 64


def write_vectors(
    path: Path, blocks: Iterable[Block], count: int, width: int, *, sample: np.ndarray, exact_limit: int = EXACT_LIMIT
) -> None:
    """Write a vector file.

    Args:
        path: the file to write.
        blocks: read once, in order.
        count: how many vectors they hold in all.
        width: E.
        sample: (S, E) vectors drawn from the blocks, for `train`; used above the limit only.
        exact_limit: up to this many are searched exactly; more become IVF with 16-bit codes (8-bit ones
            missed 3 % of the nearest at a million, at the same speed and half the size).
    """
    import faiss

    if count <= exact_limit:
        file = VectorFile(faiss.IndexIDMap2(faiss.IndexFlatIP(width)))
        for vectors, keys in blocks:
            file.add(vectors, keys)
        file.save(path)
        return
    _write_lists(path, train(sample, count, width), blocks)


def list_count(count: int) -> int:
    """Return how many inverted lists suit this many vectors."""
    return max(1, min(int(4 * np.sqrt(count)), _MOST_LISTS, count // 2))


def sample_size(count: int) -> int:
    """Return how many vectors `train` needs, whatever their number: bounded."""
    return min(count, list_count(count) * _TRAIN_PER_LIST)


def train(sample: np.ndarray, count: int, width: int) -> Any:
    """Find the centres of the lists and the range of the codes; return an empty FAISS index."""
    import faiss

    lists = max(1, min(list_count(count), len(sample) // 2 or 1))
    index: Any = faiss.index_factory(width, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    faiss.extract_index_ivf(index).cp.min_points_per_centroid = 1  # few points are said to be few elsewhere
    index.train(np.ascontiguousarray(sample, dtype=np.float32))
    return index


def change_lists(path: Path, old: VectorFile, blocks: Iterable[Block], gone: Collection[int] = ()) -> None:
    """Write inverted lists anew without some keys and with more vectors; the centres stay as they were trained.

    Args:
        path: the file to write, in another folder than the old one.
        old: inverted lists.
        blocks: vectors to add.
        gone: keys to leave out.
    """
    _write_lists(path, _emptied(old.raw), blocks, old.raw, np.fromiter(gone, dtype=np.int64, count=len(gone)))


def _emptied(index: Any) -> Any:
    """Return an index with the same centres and codes, and no vectors."""
    import faiss

    quantizer: Any = faiss.clone_index(index.quantizer)
    empty = faiss.IndexIVFScalarQuantizer(
        quantizer, index.d, index.nlist, index.sq.qtype, index.metric_type, index.by_residual
    )
    quantizer.this.disown()
    empty.own_fields = True
    faiss.copy_array_to_vector(faiss.vector_to_array(index.sq.trained), empty.sq.trained)
    empty.is_trained = True
    return empty


def _write_lists(
    path: Path, empty: Any, blocks: Iterable[Block], old: Any = None, gone: np.ndarray | None = None
) -> None:
    import faiss

    shards: list[Path] = []
    for shard in _shards(empty, blocks, old, gone if gone is not None else np.zeros(0, dtype=np.int64)):
        shards.append(path.with_name(f"{path.name}.shard{len(shards)}"))
        faiss.write_index(shard, str(shards[-1]))
    lists = faiss.OnDiskInvertedLists(empty.nlist, empty.code_size, str(path) + LISTS_ENDING)
    parts: list[Any] = [faiss.read_index(str(shard), faiss.IO_FLAG_MMAP) for shard in shards]
    library: Any = faiss  # its stubs lack some classes
    pointers = library.InvertedListsPtrVector()
    for part in parts:
        pointers.push_back(part.invlists)
    with _quiet():
        empty.ntotal = lists.merge_from_multiple(pointers.data(), pointers.size())
    empty.replace_invlists(lists, False)
    faiss.write_index(empty, str(path))
    del parts
    for shard in shards:
        shard.unlink()


def _shards(empty: Any, blocks: Iterable[Block], old: Any, gone: np.ndarray) -> Iterator[Any]:
    """Give indexes of at most about `_SHARD` vectors: first what stays of the old one, then the blocks."""
    import faiss

    shard = faiss.clone_index(empty)
    if old is not None:
        for number in range(old.nlist):
            _copy_list(old, shard, number, gone)
            if shard.ntotal >= _SHARD:
                yield shard
                shard = faiss.clone_index(empty)
    for vectors, keys in blocks:
        if len(keys):
            shard.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), keys.astype(np.int64))
        if shard.ntotal >= _SHARD:
            yield shard
            shard = faiss.clone_index(empty)
    yield shard


def _copy_list(old: Any, shard: Any, number: int, gone: np.ndarray) -> None:
    import faiss

    size = old.invlists.list_size(number)
    if not size:
        return
    keys = faiss.rev_swig_ptr(old.invlists.get_ids(number), size)
    codes = faiss.rev_swig_ptr(old.invlists.get_codes(number), size * old.code_size).reshape(size, -1)
    stays = ~np.isin(keys, gone)
    keys, codes = np.ascontiguousarray(keys[stays]), np.ascontiguousarray(codes[stays])
    if len(keys):
        shard.invlists.add_entries(number, len(keys), faiss.swig_ptr(keys), faiss.swig_ptr(codes))
        shard.ntotal += len(keys)
