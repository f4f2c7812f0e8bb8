"""Folders to spoil: copies of the tiny model, and a tiny adapter on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model folder, free to be changed."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def batch() -> Callable[[LoadedModel, list[str]], dict[str, Any]]:
    """Return a function that makes a left-padded batch: one noise picture and one question a row."""

    def make(model: LoadedModel, questions: list[str]) -> dict[str, Any]:
        import numpy as np
        from PIL import Image

        messages = [
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}] for text in questions
        ]
        prompts = model.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        noise = [np.random.default_rng(len(text)).integers(0, 255, (32, 32, 3), dtype=np.uint8) for text in questions]
        return dict(
            model.processor(
                images=[[Image.fromarray(pixels)] for pixels in noise],
                text=prompts,
                return_tensors="pt",
                padding=True,
                add_special_tokens=False,
            )
        )

    return make
