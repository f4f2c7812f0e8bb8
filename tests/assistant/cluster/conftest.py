"""What the tests of the commands have: a model that opens at once, and noise images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assistant.commands.opened import Opened, Opener


@pytest.fixture(scope="session")
def opener(tiny_model) -> Opener:
    """Hands out the tiny model, whatever is asked for."""
    from assistant.chat import MedicalAssistant

    return lambda config: Opened(
        MedicalAssistant(tiny_model, None, config.generation), tiny_model.name, tiny_model.fingerprint, None
    )


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a noise image."""

    def make(name: str, seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 30), dtype=np.uint8)).save(path)
        return path

    return make
