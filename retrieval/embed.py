"""Passages and their pictures → vectors, one block at a time, each block kept on disk: a build that was killed goes on.

A block is `block-00000.jsonl`, the records as they will be indexed, and `block-00000.npz`, their vectors. Each is
renamed into place when it is whole, the vectors last.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assistant.deidentify.shown import shown
from assistant.errors import ImageError, RetrievalError
from retrieval.encoder import Encoder
from retrieval.passage import Passage

if TYPE_CHECKING:
    from assistant.imaging.picture import Picture

ROLES = 2
"""Vectors a record may have among the texts: key * ROLES is its text, key * ROLES + 1 its document's title."""
BLOCK = 1024
_PICTURES_AT_ONCE = 32
_PICTURE_SIDE = 384

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Vectors of some records, under their keys: int64 (N,) keys, float32 (N, E) vectors."""

    text_keys: np.ndarray
    texts: np.ndarray
    image_keys: np.ndarray
    images: np.ndarray


def indexed_text(passage: Passage) -> str:
    """Return what is embedded of a record: its heading and its text."""
    return f"{passage.heading}. {passage.text}"


def caption_text(passage: Passage) -> str:
    """Return the short text whose vector stands for a document as a whole: what pictures are compared with."""
    return passage.title if passage.kind == "passage" else passage.text


def embed_block(
    folder: Path,
    number: int,
    passages: Sequence[Passage],
    keys: np.ndarray,
    titled: np.ndarray,
    encoder: Encoder,
    images: Path,
) -> None:
    """Embed one block of records and write it; nothing is done if it is there already.

    Args:
        folder: where blocks lie.
        number: of the block.
        passages: its records.
        keys: (N,) int64, one a record.
        titled: (N,) bool: the first record of each document, which also gets a vector of its title.
        encoder: makes the vectors; a whole block is given to it at once, so that it can sort by length.
        images: the index folder that a reduced copy of each picture is written to, under `images/`.
    Raises:
        RetrievalError: a picture cannot be read.
    """
    if block_path(folder, number, "npz").exists():
        return
    done, image_keys, pictures = _pictures(passages, keys, encoder, images)
    wanted = [(indexed_text(passage), key * ROLES) for passage, key in zip(done, keys.tolist(), strict=True)]
    wanted += [
        (caption_text(passage), key * ROLES + 1)
        for passage, key, first in zip(done, keys.tolist(), titled.tolist(), strict=True)
        if first
    ]
    texts = encoder.embed_texts([text for text, _ in wanted]).astype(np.float32, copy=False)
    lines = "".join(json.dumps(passage.to_dict(), ensure_ascii=False) + "\n" for passage in done)
    _write(block_path(folder, number, "jsonl"), lambda path: path.write_text(lines, encoding="utf-8"))
    arrays = {
        "text_keys": np.array([key for _, key in wanted], dtype=np.int64),
        "texts": texts,
        "image_keys": np.array(image_keys, dtype=np.int64),
        "images": np.concatenate(pictures) if pictures else np.zeros((0, texts.shape[1]), dtype=np.float32),
    }

    def save(path: Path) -> None:
        with path.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type] # its stub takes the names for its own options

    _write(block_path(folder, number, "npz"), save)


def read_block(folder: Path, number: int) -> Vectors:
    """Read the vectors of one block."""
    with np.load(block_path(folder, number, "npz"), allow_pickle=False) as arrays:
        return Vectors(**{item.name: arrays[item.name] for item in dataclasses.fields(Vectors)})


def read_block_records(folder: Path, number: int) -> Iterator[Passage]:
    """Give the records of one block."""
    with block_path(folder, number, "jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield Passage.from_dict(json.loads(line))


def block_path(folder: Path, number: int, ending: str) -> Path:
    """Return the path of one file of a block."""
    return folder / f"block-{number:05d}.{ending}"


def _write(path: Path, write: Callable[[Path], object]) -> None:
    aside = path.with_name(f"{path.name}.part")
    write(aside)
    os.replace(aside, path)


def _pictures(
    passages: Sequence[Passage], keys: np.ndarray, encoder: Encoder, folder: Path
) -> tuple[list[Passage], list[int], list[np.ndarray]]:
    """Embed the pictures and keep a reduced copy of each, with no header and no burned-in text to name a patient.

    Returns:
        The records, those with a picture naming the reduced copy; keys and vectors of the pictures.
    """
    done = list(passages)
    places = [place for place, passage in enumerate(passages) if passage.image]
    vectors = []
    if places:
        (folder / "images").mkdir(exist_ok=True)
    for start in range(0, len(places), _PICTURES_AT_ONCE):
        opened = []
        for place in places[start : start + _PICTURES_AT_ONCE]:
            done[place], picture = _reduced(passages[place], int(keys[place]), folder)
            opened.append(picture)
        vectors.append(encoder.embed_images(opened))
    return done, [int(keys[place]) for place in places], vectors


def _reduced(passage: Passage, key: int, folder: Path) -> tuple[Passage, Picture]:
    from assistant.imaging.load import load_picture
    from assistant.imaging.picture import Picture

    try:
        picture = load_picture(str(passage.image))
    except ImageError as error:
        raise RetrievalError(f"The picture of {passage.id!r} cannot be used: {error}") from error
    name = f"images/{key:07d}.jpg"
    reduced = picture.to_pil()
    reduced.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    shown(Picture(np.asarray(reduced))).to_pil().save(folder / name, quality=88)
    filled = dataclasses.replace(
        passage,
        image=name,
        modality=passage.modality or picture.modality,
        patient_key=passage.patient_key or picture.patient_key,
    )
    return filled, picture
