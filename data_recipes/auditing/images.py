"""Pictures by content: an exact hash, a perceptual hash, and a closer look at those that nearly agree.

The perceptual hash has 256 bits: the signs, against their median, of the low frequencies of the cosine transform of a
32 x 32 thumbnail (the method known as pHash). Pictures of one body part taken alike lie close by it, so pairs within
`NEAR_BITS` are compared again by the correlation of their middle frequencies at 64 x 64. Measured on 2,385 scans and
photographs: all JPEG copies at quality 70 and 0.4 to 1.3 times the size were found; of the different pictures, the
nearest were two eyes with 0.96. All of 16 pairs above 0.97 that were looked at showed one picture or one patient.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from assistant.errors import ImageError

NEAR_BITS = 48
"""Most bits of 256 by which the hashes of a picture and its copy differ."""
SAME = 0.985
"""Correlation from which two pictures count as one that was saved twice, or as frames of one patient."""
ALIKE = 0.96
"""Correlation from which two pictures are worth a look."""
DRAWN_BITS = 12
DRAWN_SAME = 0.9975
"""The same for two pictures drawn by rule, which are alike by design: of 6,000 phantoms (18 million pairs) none came
nearer than 0.9966, and JPEG copies at quality 60 stayed above 0.9984."""
_SIDE = 64
_FLAT = 2.0
"""Standard deviation in grey levels up to which a picture shows nothing to compare."""
_CHUNK = 512

Hashes = NDArray[np.uint8]


@dataclass(frozen=True)
class Images:
    """What is known of the pictures of some files."""

    names: tuple[str, ...]
    """One path for each content: the first that has it."""
    content: dict[str, int]
    """Each readable path to its place in `names`; equal files share one."""
    hashes: Hashes
    """(N, 32): perceptual hash of each content."""
    thumbnails: NDArray[np.uint8]
    """(N, 64, 64), on disk."""
    flat: NDArray[np.bool_]
    """(N,): pictures of one grey, which are compared by content alone."""
    broken: dict[str, str]
    """Paths that are missing or no picture, and why."""


def read_images(paths: Sequence[str]) -> Images:
    """Read pictures once each and hash them.

    Args:
        paths: files; missing and broken ones are noted, not raised.
    Returns:
        What the comparisons need.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(min(4, os.cpu_count() or 1)))
        names: list[str] = []
        content: dict[str, int] = {}
        broken: dict[str, str] = {}
        places: dict[bytes, int] = {}
        store = stack.enter_context(tempfile.TemporaryFile())
        for path, (digest, thumbnail, fault) in zip(paths, pool.map(_read, paths, chunksize=64), strict=True):
            if fault is not None or thumbnail is None:
                broken[path] = fault or ""
                continue
            if digest not in places:
                places[digest] = len(names)
                names.append(path)
                store.write(thumbnail.tobytes())
            content[path] = places[digest]
        thumbnails = _mapped(store, len(names))
    hashes = np.concatenate([perceptual_hash(block) for block in _blocks(thumbnails)] or [np.zeros((0, 32), np.uint8)])
    flat = np.concatenate([block.std((1, 2)) < _FLAT for block in _blocks(thumbnails)] or [np.zeros(0, bool)])
    return Images(tuple(names), content, hashes, thumbnails, flat, broken)


def perceptual_hash(thumbnails: NDArray[Any]) -> Hashes:
    """Hash pictures so that copies get nearly the same bits.

    Args:
        thumbnails: (N, 64, 64) grey.
    Returns:
        (N, 32) bytes, 256 bits a picture.
    """
    small = thumbnails.reshape(-1, 32, 2, 32, 2).mean((2, 4), dtype=np.float32)
    places = np.arange(32)
    cosines = np.cos(np.pi * (2 * places[None] + 1) * places[:16, None] / 64).astype(np.float32)
    low = (cosines @ small @ cosines.T).reshape(len(small), 256)
    low[:, 0] = -np.inf  # brightness
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    return np.packbits(bits, axis=1)


@dataclass(frozen=True)
class Pair:
    """Two pictures that look alike."""

    first: int
    """Place in `Images.names`."""
    second: int
    """Place in `Images.names`."""
    value: float
    """Correlation, from `ALIKE` up."""
    turned: bool
    """One is the other mirrored, or turned by a right angle."""


def near_pairs(
    images: Images, first: NDArray[np.intp], second: NDArray[np.intp], drawn: NDArray[np.bool_] | None = None
) -> list[Pair]:
    """Find pictures of one set that nearly equal one of another, also mirrored or turned by a right angle.

    Args:
        images: all of them.
        first: places in `names`; the smaller set is the faster one to give here.
        second: places in `names`.
        drawn: (N,), pictures that are drawn by rule; two of these are compared upright only, and more strictly.
    Returns:
        Closest first; pictures with equal content are left out.
    """
    import faiss

    first, second = first[~images.flat[first]], second[~images.flat[second]]
    drawn = np.zeros(len(images.names), bool) if drawn is None else drawn
    if not len(first) or not len(second):
        return []
    index = faiss.IndexBinaryFlat(256)
    index.add(np.ascontiguousarray(images.hashes[second]))
    found: dict[tuple[int, int], Pair] = {}
    for turn in range(8):
        for start in range(0, len(first), _CHUNK):
            part = first[start : start + _CHUNK]
            turned = _turned(np.asarray(images.thumbnails[part]), turn)
            limits, bits, hits = index.range_search(perceptual_hash(turned), NEAR_BITS + 1)
            counts: NDArray[np.intp] = np.diff(limits).astype(np.intp)
            rows = np.repeat(np.arange(len(part)), counts)
            both = drawn[part[rows]] & drawn[second[hits]]
            kept = (part[rows] != second[hits]) & ~(both & ((bits > DRAWN_BITS) | (turn > 0)))
            rows, others = rows[kept], second[hits[kept]]
            for one, other, value in zip(part[rows], others, _values(images, turned, rows, others), strict=True):
                known = found.get((int(one), int(other)))
                least = DRAWN_SAME if drawn[one] and drawn[other] else ALIKE
                if value >= least and (known is None or value > known.value):
                    found[int(one), int(other)] = Pair(int(one), int(other), float(value), turn > 0)
    return sorted(found.values(), key=lambda pair: (-pair.value, pair.first, pair.second))


def _values(images: Images, turned: NDArray[np.uint8], rows: NDArray[np.intp], others: NDArray[np.intp]) -> list[float]:
    """Correlate rows of `turned` with other pictures, each picture's middle frequencies worked out once a chunk."""
    if not len(rows):
        return []
    bands = _band(turned)
    values: list[float] = []
    for begin in range(0, len(rows), _CHUNK):
        places, back = np.unique(others[begin : begin + _CHUNK], return_inverse=True)
        seen = _band(np.asarray(images.thumbnails[places]))
        values += np.einsum("nk,nk->n", bands[rows[begin : begin + _CHUNK]], seen[back]).tolist()
    return values


def correlation(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float32]:
    """Correlate the middle frequencies of pictures pair by pair: neither brightness nor noise counts.

    Args:
        first: (N, 64, 64) grey.
        second: (N, 64, 64) grey.
    Returns:
        (N,) in [-1, 1].
    """
    return np.asarray(np.einsum("nk,nk->n", _band(first), _band(second)))


def _band(thumbnails: NDArray[Any]) -> NDArray[np.float32]:
    """Return what a blur over 3 pixels leaves and one over 9 takes away: (N, 4096), mean 0, length 1."""
    values = thumbnails.astype(np.float64)
    band = (_box(values, 1) - _box(values, 4)).reshape(len(values), -1)
    band -= band.mean(1, keepdims=True)
    return np.asarray(band / np.maximum(np.linalg.norm(band, axis=1, keepdims=True), 1e-9), np.float32)


def _box(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Mean over a square of 2 * reach + 1 pixels; the edge is continued."""
    padded = np.pad(values, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    total = np.pad(padded.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    n = 2 * reach + 1
    return np.asarray((total[:, n:, n:] - total[:, :-n, n:] - total[:, n:, :-n] + total[:, :-n, :-n]) / n**2)


def _turned(thumbnails: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Return pictures in one of the eight ways to lay a square: 0 to 3 quarter turns, then the same mirrored."""
    mirrored = thumbnails[:, :, ::-1] if turn >= 4 else thumbnails
    return np.ascontiguousarray(np.rot90(mirrored, turn % 4, axes=(1, 2)))


def _read(path: str) -> tuple[bytes, NDArray[np.uint8] | None, str | None]:
    """Return a file's hash and 64 x 64 grey thumbnail, or why there is none."""
    from assistant.imaging.load import load_picture

    try:
        data = Path(path).read_bytes()
        picture = load_picture(data, max_side=_SIDE)
    except OSError as error:
        return b"", None, f"cannot be read ({error.strerror})"
    except ImageError as error:
        return b"", None, str(error).removeprefix("the given bytes: ")
    from PIL import Image

    grey = Image.fromarray(picture.pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return hashlib.sha256(data).digest(), np.asarray(grey), None


def _mapped(store: IO[bytes], count: int) -> NDArray[np.uint8]:
    store.flush()
    if not count:
        return np.zeros((0, _SIDE, _SIDE), np.uint8)
    # The mapping outlives the file object, and the file's space is given back with the mapping.
    return np.memmap(store, np.uint8, "r", shape=(count, _SIDE, _SIDE))


def _blocks(thumbnails: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [np.asarray(thumbnails[start : start + _CHUNK]) for start in range(0, len(thumbnails), _CHUNK)]
