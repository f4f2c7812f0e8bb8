"""A page with the tiny model behind it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, Request, build_opener
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

import assistant
from assistant.commands.opened import Opened
from assistant.feedback.address import address_of
from assistant.feedback.desk import Desk
from assistant.feedback.records import Feedback
from assistant.feedback.store import FeedbackStore
from assistant.ui.server import private_uploads
from assistant.ui.service import AssistantService
from tests.assistant.ui import browsing


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
        path = uploads / "uploads" / uuid4().hex / name
        path.parent.mkdir(parents=True)
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
        self.feedback: Path | None = None

    def get(self, path: str, data: bytes | None = None, **headers: str) -> HTTPResponse:
        """Return the answer to a request; cookies are kept."""
        return self._browser.open(Request(self.url + path, data, headers), timeout=120)

    def wait_until_loaded(self) -> None:
        """Wait for the model."""
        for _ in range(1200):
            if json.load(self.get("/healthz"))["model"] != "loading":
                return
            time.sleep(0.2)
        pytest.fail("the model has not loaded within four minutes")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it as Ctrl-C does, or by another signal."""
        self.process.send_signal(how)
        self.process.wait(240)
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


@pytest.fixture
def notes() -> list[tuple[str, str, str]]:
    """What the audit log is told of feedback."""
    return []


@pytest.fixture
def desk(tmp_path: Path, notes: list[tuple[str, str, str]]) -> Iterator[Desk]:
    """A place for feedback, in a file that is not there yet."""
    address = address_of(str(tmp_path / "feedback" / "feedback.sqlite"))
    assert address is not None
    made = Desk(FeedbackStore(address), lambda *note: notes.append(note))
    yield made
    made.store.close()


@pytest.fixture
def kept(desk: Desk) -> Callable[[], list[Feedback]]:
    """Return a function that reads what the desk has kept."""
    return lambda: list(desk.store.all(pictures=True)) if desk.store.exists else []


@pytest.fixture(scope="session")
def web(start_page: Callable[..., RunningPage], tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The running page with the tiny model, an index of two cards, and a place for feedback."""
    from retrieval.corpus import read_corpora
    from retrieval.encoder import ModelEncoder
    from retrieval.write import build_index

    root = tmp_path_factory.mktemp("index")
    cards = root / "cards"
    cards.mkdir()
    for finding, text in browsing.TEXTS.items():
        title = f"{finding.capitalize()} on a chest X-ray"
        card = browsing.CARDS.format(id=finding, title=title, finding=finding, text=text)
        (cards / f"{finding}.md").write_text(card)
    build_index(read_corpora([str(cards)]), ModelEncoder(tiny_model), root / "index")
    running = start_page("--index", str(root / "index"), "--feedback", str(root / "feedback.sqlite"))
    running.wait_until_loaded()
    running.feedback = root / "feedback.sqlite"
    return running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by playwright."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine; install it with: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=browsing.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, web: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a fresh visitor's tab; the test fails if one asks anything of another host."""
    contexts, outside = [], []

    def watch(request: Any) -> None:
        if not browsing.is_own(request.url, web.url):
            outside.append(request.url)

    def open_tab(width: int = 1280, height: int = 860, scheme: str = "light") -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(browsing.TIMEOUT_MS)
        opened = context.new_page()
        opened.on("request", watch)
        opened.goto(web.url)
        opened.get_by_placeholder("Ask about").wait_for()
        return opened

    yield open_tab
    for context in contexts:
        context.close()
    assert outside == []


@pytest.fixture
def tab(visit: Callable[..., Any]) -> Any:
    """A fresh visitor's tab, as wide as a desk's screen."""
    return visit()
