"""The API with the tiny model behind it, on a real port, for real clients."""

from __future__ import annotations

import base64
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image

import assistant
from assistant.chat import MedicalAssistant
from assistant.choice import Others
from assistant.commands.opened import Opened
from assistant.config import GenerationConfig
from assistant.feedback.desk import open_desk
from assistant.serve.audit import AuditLog
from assistant.serve.calls import Calls
from assistant.serve.engine import QueuedService
from assistant.serve.keys import KeyRing
from assistant.serve.metrics import Metrics
from assistant.serve.routes import OPENED, add_api
from assistant.serve.settings import ServeConfig
from assistant.serve.upstream import UpstreamWriter
from assistant.ui.server import build_app, listen

# Never unsure: a random model's answers are wanted here, not its abstentions.
SETTINGS = GenerationConfig(max_new_tokens=8, report_max_new_tokens=8, abstain_below=0.0, batch_size=8)


WAIT_S = 240
"""How long a test waits for what must come: a busy machine is slow, and pytest ends what hangs."""


def soon(condition: Callable[[], Any]) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.01)


def start_process(*words: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server as a person does; return its process and its address."""
    root = Path(assistant.__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, str(root / "app.py"), "serve", "--port", "0", "--index", "none", *words],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
    assert found
    return process, found.group()


def stop_process(process: subprocess.Popen[str]) -> None:
    """End it as Ctrl-C does."""
    process.send_signal(signal.SIGINT)
    process.wait(WAIT_S)
    if process.stdout is not None:
        process.stdout.close()


@dataclass
class Running:
    """A server in a thread of this process."""

    url: str
    service: QueuedService
    audit: Path
    clients: list[openai.OpenAI] = field(default_factory=list)

    def client(self, key: str = "none", **options: Any) -> openai.OpenAI:
        """Return OpenAI's own client; it does not try again unless told to."""
        made = openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=WAIT_S, **options)
        self.clients.append(made)
        return made


@pytest.fixture(scope="session")
def start_server(tiny_model, tmp_path_factory) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a server; `serve:` settings are its named arguments."""
    ending: list[tuple[uvicorn.Server, threading.Thread, Running]] = []

    def start(
        generation: GenerationConfig = SETTINGS, *, feedback: bool = True, others: Others | None = None, **settings: Any
    ) -> Running:
        serve = ServeConfig(page=False, **settings)
        writer = UpstreamWriter(serve, generation) if serve.upstream else None
        made = MedicalAssistant(tiny_model, None, generation, writer)
        if writer is not None:
            writer.scorer = made.scorer
        link = writer.link if writer else None
        opened = Opened(made, tiny_model.name, tiny_model.fingerprint, None, link)
        audit = AuditLog(tmp_path_factory.mktemp("audit") / "audit.jsonl")
        calls = Calls(audit, Metrics())
        desk = open_desk(
            str(tmp_path_factory.mktemp("feedback") / "feedback.sqlite") if feedback else "none", None,
            calls.note_feedback,
        )  # fmt: skip
        service = QueuedService(
            lambda: opened, serve, calls, batch_size=generation.batch_size, feedback=desk, others=others
        )
        service.get()
        keys = KeyRing(Path(serve.keys)) if serve.keys else None

        def api(app: FastAPI) -> tuple[str, ...]:
            add_api(app, service, keys)
            return OPENED

        listener = listen("127.0.0.1", 0)
        app = build_app(service, api=api, page=False)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        soon(lambda: server.started)
        running = Running(f"http://127.0.0.1:{listener.getsockname()[1]}", service, audit.path)
        ending.append((server, thread, running))
        return running

    yield start
    for server, thread, running in ending:
        for client in running.clients:
            client.close()
        server.should_exit = True
        thread.join(WAIT_S)
        running.service.close()
        if running.service.feedback is not None:
            running.service.feedback.store.close()
        if running.service.calls.audit is not None:
            running.service.calls.audit.close()


@pytest.fixture(scope="session")
def server(start_server) -> Running:
    """A server with the usual settings, no keys and no page."""
    return start_server()


@pytest.fixture(scope="session")
def image_url() -> Callable[..., str]:
    """Return a function that makes a noise image as a data URL; equal seeds give equal images."""

    def make(seed: int = 0, side: int = 40) -> str:
        pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    return make


@pytest.fixture(scope="session")
def asking(image_url) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that makes the messages of one question about one noise image."""

    def make(text: str = "What is this?", seed: int = 0) -> list[dict[str, Any]]:
        image = {"type": "image_url", "image_url": {"url": image_url(seed)}}
        return [{"role": "user", "content": [{"type": "text", "text": text}, image]}]

    return make
