"""Pictures whose modality and region are known, with their embeddings: a manifest folder as the router sees it."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.errors import ImageError, RetrievalError
from assistant.vocabulary import canonical_modality

if TYPE_CHECKING:
    from retrieval.encoder import Encoder

MANIFEST = "manifest.jsonl"
_BATCH = 32
NO_REGION = "body"
"""Stands for the region where none is named."""
_NEEDED = ("image", "modality", "split")


@dataclass(frozen=True)
class Labelled:
    """N pictures of known kind."""

    joint: np.ndarray
    """(N, E) float32, unit length."""
    labels: tuple[tuple[str, str], ...]
    """(modality, region) of each; the region is "body" where none is named."""


def labelled(
    folder: Path, split: str, encoder: Encoder, *, limit: int | None = None, seed: int = 0, source: str | None = None
) -> Labelled:
    """Embed the pictures of one split of a manifest folder.

    Args:
        folder: holds `manifest.jsonl`.
        split: which of its records to take.
        encoder: embeds them.
        limit: at most this many of one kind, drawn at random; None takes all.
        seed: of the draw.
        source: only records that name this source; None takes all.
    Returns:
        Embeddings and labels.
    Raises:
        RetrievalError: there is no such file, split or source, a record lacks a field, or a picture cannot be read.
    """
    from assistant.imaging.load import load_picture

    records = _records(folder / MANIFEST, split)
    if source is not None:
        named = sorted({str(record.get("source")) for record in records})
        records = [record for record in records if record.get("source") == source]
        if not records:
            raise RetrievalError(
                f"{folder / MANIFEST} has no record of source {source!r} in split {split!r}; it has {', '.join(named)}."
            )
    random.Random(seed).shuffle(records)
    taken: Counter[tuple[str, str]] = Counter()
    labels: list[tuple[str, str]] = []
    paths: list[Path] = []
    for record in records:
        label = (canonical_modality(record["modality"]) or record["modality"], record.get("anatomy") or NO_REGION)
        taken[label] += 1
        if limit is None or taken[label] <= limit:
            labels.append(label)
            paths.append(folder / record["image"])
    parts: list[np.ndarray] = []
    for start in range(0, len(paths), _BATCH):
        try:
            parts.append(encoder.embed_images([load_picture(path) for path in paths[start : start + _BATCH]]))
        except ImageError as error:
            raise RetrievalError(f"A picture of {folder / MANIFEST} cannot be used: {error}") from error
    return Labelled(np.concatenate(parts), tuple(labels))


def _records(path: Path, split: str) -> list[dict[str, Any]]:
    if not path.is_file():
        raise RetrievalError(f"There is no {path}. Give a folder with {MANIFEST}: a line for each picture.")
    found: list[dict[str, Any]] = []
    splits: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            missing = [name for name in _NEEDED if not isinstance(record.get(name), str)]
        except (ValueError, AttributeError) as error:
            raise RetrievalError(f"{path}:{number}: {line[:40]!r} is no record ({error}).") from error
        if missing:
            raise RetrievalError(f"{path}:{number}: {', '.join(missing)} is missing; write it as text.")
        splits.add(record["split"])
        if record["split"] == split:
            found.append(record)
    if not found:
        raise RetrievalError(f"{path} has no record of split {split!r}; it has {', '.join(sorted(splits)) or 'none'}.")
    return found
