"""Passages and their pictures → vectors, in batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from assistant.errors import ImageError, RetrievalError
from retrieval.corpus import Passage
from retrieval.encoder import Encoder
from retrieval.index import BACKGROUND_FILE, ROLES

_BATCH = 64
_BACKGROUND = 256
_PICTURE_SIDE = 384

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Vectors of some records, under their keys: int64 (N,) keys, float32 (N, E) vectors."""

    text_keys: np.ndarray
    texts: np.ndarray
    image_keys: np.ndarray
    images: np.ndarray


def caption_text(passage: Passage) -> str:
    """Return the short text whose vector stands for a document as a whole: what pictures are compared with."""
    return passage.title if passage.kind == "passage" else passage.text


def embed(
    passages: Sequence[Passage], keys: np.ndarray, encoder: Encoder, folder: Path, progress: Progress | None = None
) -> tuple[list[Passage], Vectors]:
    """Embed records and their pictures.

    Args:
        passages: whole documents: the first chunk of each stands for its title.
        keys: one a passage.
        encoder: makes the vectors.
        folder: a reduced copy of each picture is written to its `images/`.
        progress: called with records done and records in all.
    Returns:
        The passages, those with a picture naming the reduced copy, and all vectors.
    Raises:
        RetrievalError: a picture cannot be read.
    """
    texts: list[np.ndarray] = []
    images: list[np.ndarray] = []
    text_keys: list[int] = []
    image_keys: list[int] = []
    done: list[Passage] = []
    titled: set[str] = set()
    for start in range(0, len(passages), _BATCH):
        part = list(zip(passages[start : start + _BATCH], keys[start : start + _BATCH].tolist(), strict=True))
        wanted = [(f"{passage.heading}. {passage.text}", key * ROLES) for passage, key in part]
        for passage, key in part:
            if passage.document not in titled:
                titled.add(passage.document)
                wanted.append((caption_text(passage), key * ROLES + 1))
        texts.append(encoder.embed_texts([text for text, _ in wanted]))
        text_keys.extend(key for _, key in wanted)
        pictured = [(passage, key) for passage, key in part if passage.image]
        ready = _pictures(pictured, encoder, folder, images)
        image_keys.extend(key for _, key in pictured)
        done.extend(ready.get(key, passage) for passage, key in part)
        if progress:
            progress(len(done), len(passages))
    width = texts[0].shape[1] if texts else 0
    return done, Vectors(
        np.asarray(text_keys, dtype=np.int64),
        np.concatenate(texts) if texts else np.zeros((0, width), dtype=np.float32),
        np.asarray(image_keys, dtype=np.int64),
        np.concatenate(images) if images else np.zeros((0, width), dtype=np.float32),
    )


def _pictures(
    pictured: list[tuple[Passage, int]], encoder: Encoder, folder: Path, images: list[np.ndarray]
) -> dict[int, Passage]:
    """Embed the pictures of some records and keep a reduced copy of each, which has no header to name a patient."""
    if not pictured:
        return {}
    from assistant.imaging.load import load_picture

    ready: dict[int, Passage] = {}
    pictures = []
    (folder / "images").mkdir(exist_ok=True)
    for passage, key in pictured:
        try:
            picture = load_picture(str(passage.image))
        except ImageError as error:
            raise RetrievalError(f"The picture of {passage.id!r} cannot be used: {error}") from error
        pictures.append(picture)
        name = f"images/{key:07d}.jpg"
        reduced = picture.to_pil()
        reduced.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
        reduced.save(folder / name, quality=88)
        ready[key] = dataclasses.replace(
            passage,
            image=name,
            modality=passage.modality or picture.modality,
            patient_key=passage.patient_key or picture.patient_key,
        )
    images.append(encoder.embed_images(pictures))
    return ready


def write_background(folder: Path, passages: Sequence[Passage], keys: np.ndarray, vectors: Vectors) -> None:
    """Draw the sample that tells chance from likeness, and write it."""
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(len(passages))[:_BACKGROUND])
    where = {key: row for row, key in enumerate(vectors.text_keys.tolist())}
    first = {
        passage.document: int(key) for passage, key in zip(reversed(passages), reversed(keys.tolist()), strict=True)
    }
    texts = [where[int(keys[row]) * ROLES] for row in chosen]
    titles = [where.get(first[passages[row].document] * ROLES + 1, texts[n]) for n, row in enumerate(chosen)]
    save_background(folder, keys[chosen], vectors.texts[texts], vectors.texts[titles])


def save_background(folder: Path, keys: np.ndarray, texts: np.ndarray, titles: np.ndarray) -> None:
    """Write a sample: (S,) keys, (S, E) vectors of texts and of titles."""
    with (folder / BACKGROUND_FILE).open("wb") as stream:
        np.savez(stream, keys=keys, texts=texts.astype(np.float16), titles=titles.astype(np.float16))
