"""Folders of example files with pictures of smooth shapes, sound until a test plants a fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_recipes.schema import Example, write_examples

Make = Callable[..., Example]


def draw(seed: int, size: int = 160) -> Image.Image:
    """Return a grey picture of a few smooth blobs and lines, different for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    field = np.full((size, size), 60.0)
    for _ in range(14):
        cx, cy, width, height = rng.uniform(0, 1, 2).tolist() + rng.uniform(0.03, 0.15, 2).tolist()
        field += rng.uniform(-90, 90) * np.exp(-(((x - cx) / width) ** 2) - ((y - cy) / height) ** 2)
    return Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))


@pytest.fixture
def picture() -> Callable[[int], Image.Image]:
    return draw


@pytest.fixture
def example() -> Make:
    """Make an example: number, then any field that differs."""

    def make(number: int, question: str = "Is there a mass?", answer: str = "Yes", **changes: Any) -> Example:
        values: dict[str, Any] = {
            "id": f"e{number}",
            "images": (f"images/{number}.png",),
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            "task": "vqa",
            "answer_type": "closed",
            "source": "own",
            "licence": "CC0-1.0",
            "patient": f"p{number}",
            "modality": "CT",
            "site": "north",
        }
        return Example(**(values | changes))

    return make


@pytest.fixture
def folder(tmp_path: Path, example: Make) -> Callable[..., Path]:
    """Write train (0 to 7), dev (100, 101) and their pictures; `train=` and `dev=` add examples."""

    def write(train: tuple[Example, ...] = (), dev: tuple[Example, ...] = ()) -> Path:
        out = tmp_path / "data"
        splits = {"train": [*map(example, range(8)), *train], "dev": [*map(example, (100, 101)), *dev]}
        for split, examples in splits.items():
            write_examples(out / f"{split}.jsonl", examples)
            for one in examples:
                for path in one.image_paths(out):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    draw(int(path.stem)).save(path)
        return out

    return write
