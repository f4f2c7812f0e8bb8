"""A page with the tiny model behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assistant.commands.opened import Opened
from assistant.ui.server import private_uploads
from assistant.ui.service import AssistantService


@pytest.fixture(scope="session")
def opened(tiny_model) -> Opened:
    """The tiny model with short answers."""
    from assistant.chat import MedicalAssistant
    from assistant.config import GenerationConfig

    settings = GenerationConfig(max_new_tokens=8, report_max_new_tokens=8)
    return Opened(MedicalAssistant(tiny_model, None, settings), tiny_model.name, tiny_model.fingerprint, None)


@pytest.fixture
def service(opened: Opened) -> AssistantService:
    """A service that has loaded."""
    made = AssistantService(lambda: opened)
    made.get()
    return made


@pytest.fixture
def uploads() -> Iterator[Path]:
    """The folder in which the page keeps uploads while a test runs."""
    with private_uploads() as folder:
        yield folder


@pytest.fixture
def upload(uploads: Path) -> Callable[..., str]:
    """Return a function that puts a file where an upload lands."""

    def put(name: str, content: bytes | None = None) -> str:
        path = uploads / "upload" / name
        path.parent.mkdir(exist_ok=True)
        if content is None:
            pixels = np.random.default_rng(1).integers(0, 255, (40, 30), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        else:
            path.write_bytes(content)
        return str(path)

    return put
