"""A sample of an index's vectors, drawn at random: it tells what cosine is mere chance for a query."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

import numpy as np

from retrieval.embed import BLOCK, ROLES, Vectors, read_block

BACKGROUND_FILE = "background.npz"
_SIZE = 256


@dataclass(frozen=True)
class Background:
    """Vectors of records drawn at random. S of them, and I pictures, E wide."""

    keys: np.ndarray
    """(S,) int64, the records' keys."""
    texts: np.ndarray
    """(S, E) float32, vectors of their texts."""
    titles: np.ndarray
    """(S, E) float32, vectors of their documents' titles."""
    image_keys: np.ndarray
    """(I,) int64, keys of records with a picture."""
    images: np.ndarray
    """(I, E) float32, vectors of their pictures."""

    @classmethod
    def empty(cls, width: int) -> Background:
        """Return a sample of nothing."""
        keys, vectors = np.zeros(0, dtype=np.int64), np.zeros((0, width), dtype=np.float32)
        return cls(keys, vectors, vectors, keys, vectors)

    @classmethod
    def read(cls, folder: Path) -> Background:
        """Read the sample of an index folder."""
        return cls.parse(folder / BACKGROUND_FILE)

    @classmethod
    def parse(cls, file: Path | IO[bytes]) -> Background:
        """Read the sample from a file, or from its bytes."""
        with np.load(file, allow_pickle=False) as arrays:
            found = {item.name: arrays[item.name] for item in fields(cls)}
        return cls(**{name: value if "keys" in name else value.astype(np.float32) for name, value in found.items()})

    def write(self, folder: Path) -> None:
        """Write the sample; half precision is enough to tell chance."""
        with (folder / BACKGROUND_FILE).open("wb") as stream:
            np.savez(
                stream,
                keys=self.keys,
                texts=self.texts.astype(np.float16),
                titles=self.titles.astype(np.float16),
                image_keys=self.image_keys,
                images=self.images.astype(np.float16),
            )

    def without(self, gone: np.ndarray) -> Background:
        """Return the sample without the records of some keys."""
        stays, shown = ~np.isin(self.keys, gone), ~np.isin(self.image_keys, gone)
        return Background(
            self.keys[stays], self.texts[stays], self.titles[stays], self.image_keys[shown], self.images[shown]
        )

    def surprise(self, query: np.ndarray, cosines: np.ndarray, *, among: str = "texts") -> np.ndarray:
        """Return how many standard deviations each cosine lies above what chance gives for this query.

        Args:
            query: (E,) unit length.
            cosines: (M,) of the hits.
            among: compare with "texts", "titles" or "images".
        Returns:
            (M,) float32; zeros if the sample has no spread.
        """
        sample: np.ndarray = getattr(self, among)
        chance = sample @ query
        spread = float(chance.std()) if len(chance) > 1 else 0.0
        if spread < 1e-6:
            return np.zeros_like(cosines)
        return np.asarray((cosines - chance.mean()) / spread, dtype=np.float32)

    def filled(self, folder: Path, blocks: int, rows: np.ndarray, first_key: int) -> Background:
        """Return the sample, filled up to its size with records of the blocks drawn at random.

        Args:
            folder: where the blocks lie.
            blocks: how many there are.
            rows: (N,) `staging.STAGED` of the records in the blocks.
            first_key: of the first of them.
        Returns:
            The larger sample.
        """
        rng = np.random.default_rng(0)
        chosen = np.sort(rng.permutation(len(rows))[: max(0, _SIZE - len(self.keys))])
        keys, texts, titles = [self.keys], [self.texts], [self.titles]
        image_keys, images = [self.image_keys], [self.images]
        wanted = max(0, _SIZE - len(self.image_keys))
        for number in range(blocks):
            vectors = read_block(folder, number)
            part = chosen[chosen // BLOCK == number]
            if len(part):
                found = _texts(vectors, rows, part, first_key)
                keys.append(first_key + part)
                texts.append(found[0])
                titles.append(found[1])
            # A fair share of each block, so that the pictures are drawn over the whole corpus.
            count = min(len(vectors.image_keys), -(-wanted // blocks))
            some = np.sort(rng.permutation(len(vectors.image_keys))[:count])
            image_keys.append(vectors.image_keys[some])
            images.append(vectors.images[some])
        return Background(*(np.concatenate(parts) for parts in (keys, texts, titles, image_keys, images)))


def _texts(vectors: Vectors, rows: np.ndarray, part: np.ndarray, first_key: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the text vectors of some rows of one block, and those of their titles where the block has them."""
    where = {key: place for place, key in enumerate(vectors.text_keys.tolist())}
    texts = [where[(first_key + row) * ROLES] for row in part.tolist()]
    start = int(part[0]) // BLOCK * BLOCK
    block = rows[start : start + BLOCK]
    titled = {int(block["document"][place]): start + place for place in np.flatnonzero(block["first"]).tolist()}
    titles = []
    for row, text in zip(part.tolist(), texts, strict=True):
        first = titled.get(int(rows["document"][row]))
        titles.append(text if first is None else where[(first_key + first) * ROLES + 1])
    return vectors.texts[texts], vectors.texts[titles]
