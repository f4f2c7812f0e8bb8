"""A page with the tiny model behind it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from urllib.request import HTTPCookieProcessor, Request, build_opener

import numpy as np
import pytest
from PIL import Image

import assistant
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


class RunningPage:
    """The page as a person starts it, in a process of its own."""

    def __init__(self, *words: str) -> None:
        root = Path(assistant.__file__).parent.parent
        self.process = subprocess.Popen(
            [sys.executable, str(root / "app.py"), "chat", "--port", "0", *words], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, f"the page did not start: {line!r}"
        self.url = found.group()
        self._browser = build_opener(HTTPCookieProcessor())

    def get(self, path: str, data: bytes | None = None, **headers: str) -> HTTPResponse:
        """Return the answer to a request; cookies are kept."""
        return self._browser.open(Request(self.url + path, data, headers), timeout=120)

    def wait_until_loaded(self) -> None:
        """Wait for the model."""
        for _ in range(900):
            if json.load(self.get("/healthz"))["model"] != "loading":
                return
            time.sleep(0.2)
        pytest.fail("the model has not loaded within three minutes")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it as Ctrl-C does, or by another signal."""
        self.process.send_signal(how)
        self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture(scope="session")
def start_page(tiny_folder: Path) -> Iterator[Callable[..., RunningPage]]:
    """Return a function that starts the page with the tiny model and, if not told otherwise, without an index."""
    started: list[RunningPage] = []

    def start(*words: str) -> RunningPage:
        given = words if "--index" in words else (*words, "--index", "none")
        started.append(RunningPage("--model", str(tiny_folder), *given))
        return started[-1]

    yield start
    for page in started:
        page.stop()
