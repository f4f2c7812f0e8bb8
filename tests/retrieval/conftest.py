"""What the retrieval tests share: a real, small encoder made of hashed words, and a few cards and cases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from assistant.imaging.picture import Picture
from assistant.words import tokens
from retrieval.corpus import Corpus, read_corpora

COLOURS = ("red", "green", "blue")


class HashingEncoder:
    """Texts as bags of hashed words; a picture as the name of its strongest colour. Deterministic."""

    def __init__(self, width: int = 256, fingerprint: str = "feedfacefeedface") -> None:
        self.width = width
        self.fingerprint = fingerprint

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in tokens(text) or ["nothing"]:
                digest = hashlib.sha256(word.encode()).digest()
                vectors[row, int.from_bytes(digest[:4], "big") % self.width] += 1.0 if digest[4] % 2 else -1.0
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.maximum(norms, 1e-6)

    def embed_images(self, pictures: Sequence[Picture]) -> np.ndarray:
        names = [COLOURS[int(picture.pixels.mean(axis=(0, 1)).argmax())] for picture in pictures]
        return self.embed_texts(names)


@pytest.fixture(scope="session")
def make_encoder() -> type[HashingEncoder]:
    return HashingEncoder


@pytest.fixture
def encoder() -> HashingEncoder:
    return HashingEncoder()


CARD = """---
id: {id}
title: "{title}"
modality: {modality}
anatomy: chest
finding: {finding}
synonyms: [{synonyms}]
licence: Apache-2.0
references:
  - "Author A. A work. Publisher, 2001."
---
{summary}

## Appearance
{appearance}

## Pitfalls
{pitfalls}
"""


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    folder = tmp_path / "cards"
    folder.mkdir()
    for values in (
        {
            "id": "pneumothorax",
            "title": "Pneumothorax on a chest X-ray",
            "modality": "X-ray",
            "finding": "pneumothorax",
            "synonyms": "collapsed lung",
            "summary": "Pneumothorax is air in the pleural space.",
            "appearance": "A thin white pleural line is seen with no vessels beyond it.",
            "pitfalls": "Skin folds imitate the pleural line and cross the rib cage.",
        },
        {
            "id": "effusion",
            "title": "Pleural effusion on a chest X-ray",
            "modality": "X-ray",
            "finding": "pleural effusion",
            "synonyms": "hydrothorax",
            "summary": "Pleural effusion is fluid around the lung.",
            "appearance": "The costophrenic angle is blunted by a meniscus.",
            "pitfalls": "On a supine film fluid only veils the lung.",
        },
        {
            "id": "effusion-ct",
            "title": "Pleural effusion on a chest CT",
            "modality": "CT",
            "finding": "pleural effusion",
            "synonyms": "hydrothorax",
            "summary": "Pleural effusion on CT is a crescent of fluid density.",
            "appearance": "Fluid of low attenuation lies in the dependent chest.",
            "pitfalls": "Thickened pleura may have the same density.",
        },
        {
            "id": "dose",
            "title": "Radiation dose in imaging",
            "modality": "any",
            "finding": "radiation dose",
            "synonyms": "sievert",
            "summary": "The effective dose of an examination is given in millisievert.",
            "appearance": "A chest film gives a very small dose.",
            "pitfalls": "Doses add up over repeated examinations.",
        },
    ):
        (folder / f"{values['id']}.md").write_text(CARD.format(**values), encoding="utf-8")
    return folder


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    from PIL import Image

    records = []
    for number, (colour, report, patient) in enumerate(
        (
            ("red", "Large pleural effusion on the left.", "Anna"),
            ("green", "Lungs are clear. No pleural effusion.", "Berta"),
            ("blue", "Fracture of the sixth rib.", "Berta"),
        )
    ):
        shape = (40, 30)
        Image.new("RGB", shape, colour).save(tmp_path / f"{colour}.png")
        records.append(
            {
                "id": f"case-{number}",
                "image": f"{colour}.png",
                "report": report,
                "modality": "chest x-ray",
                "anatomy": "chest",
                "source": "Test cases",
                "licence": "CC0-1.0",
                "patient": patient,
            }
        )
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def corpus(cards: Path) -> Corpus:
    return read_corpora([cards])
