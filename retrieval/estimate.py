"""What a build would give, without building: counts from reading the corpora, size and time from a sample."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from assistant.errors import RetrievalError
from retrieval.dedup import Seen
from retrieval.embed import caption_text, indexed_text
from retrieval.encoder import Encoder
from retrieval.facets import ROW
from retrieval.passage import Passage
from retrieval.reading import Faults, ReadOptions, Tally
from retrieval.sources import read_sources
from retrieval.vectors import EXACT_LIMIT

_SAMPLE = 128
_PICTURES = 8
_PICTURE_BYTES = 30_000
_POSTING_BYTES = 8
_POSTINGS_PER_CHARACTER = 0.11
"""Different words of a record for each character of its text: measured on English medical passages."""


def estimate(corpora: Sequence[str], options: ReadOptions, encoder: Encoder) -> dict[str, Any]:
    """Read and check corpora, and embed a sample of them.

    Args:
        corpora: as `retrieval.sources` takes them.
        options: how they are read.
        encoder: whose speed is measured.
    Returns:
        Counts, licences, and `megabytes` and `seconds` as estimated.
    Raises:
        RetrievalError: faults in the corpora, or nothing in them.
    """
    started = time.perf_counter()
    faults, tally = Faults(), Tally()
    licences: Counter[str] = Counter()
    records = characters = documents = images = 0
    sample: list[Passage] = []
    pictured: list[Passage] = []
    rng = np.random.default_rng(0)
    with Seen(None, near=True) as seen:
        for passage in seen.new(read_sources(corpora, options, faults, tally), faults, tally):
            records += 1
            characters += len(passage.text)
            documents += seen.document(passage.document)[1]
            licences[passage.licence] += 1
            images += passage.image is not None
            _reservoir(sample, passage, records, _SAMPLE, rng)
            if passage.image is not None:
                _reservoir(pictured, passage, images, _PICTURES, rng)
    faults.raise_if_any()
    if not records:
        raise RetrievalError(f"The corpus is empty: {', '.join(corpora)} holds no passage.")
    read_s = time.perf_counter() - started
    width, text_s, title_s, image_s = _measure(sample, pictured, encoder)
    vectors = records + documents
    size = characters * 1.6 + vectors * (4 * width + 8 if vectors <= EXACT_LIMIT else 2 * width + 8)
    size += images * (4 * width + 8 + _PICTURE_BYTES) + records * ROW.itemsize
    size += characters * _POSTINGS_PER_CHARACTER * _POSTING_BYTES
    return {
        "records": records,
        "documents": documents,
        **vars(tally),
        "licences": dict(sorted(licences.items())),
        "dry_run": True,
        "megabytes": round(size / 1e6, 3),
        "seconds": round(read_s * 2 + records * text_s + documents * title_s + images * image_s, 3),
    }


def _reservoir(sample: list[Passage], item: Passage, met: int, size: int, rng: np.random.Generator) -> None:
    """Keep `size` items, each of those met so far with the same chance."""
    if len(sample) < size:
        sample.append(item)
    elif (place := int(rng.integers(met))) < size:
        sample[place] = item


def _measure(sample: list[Passage], pictured: list[Passage], encoder: Encoder) -> tuple[int, float, float, float]:
    """Return the vectors' width, and seconds for one text, one title and one picture."""
    width = int(encoder.embed_texts(["start"]).shape[1])  # the first call loads the encoder
    started = time.perf_counter()
    encoder.embed_texts([indexed_text(passage) for passage in sample])
    middle = time.perf_counter()
    encoder.embed_texts([caption_text(passage) for passage in sample])
    text_s, title_s = (middle - started) / len(sample), (time.perf_counter() - middle) / len(sample)
    if not pictured:
        return width, text_s, title_s, 0.0
    from assistant.imaging.load import load_picture

    pictures = [load_picture(str(passage.image)) for passage in pictured]
    encoder.embed_images(pictures[:1])
    started = time.perf_counter()
    encoder.embed_images(pictures)
    return width, text_s, title_s, (time.perf_counter() - started) / len(pictures) * 2
