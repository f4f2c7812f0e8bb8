"""How soon the program answers: its help, and the page in the browser. In CPU time of the process that is started."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from benchmarks.suite import SETTINGS, Measured

ROOT = Path(__file__).parent.parent
EAGER = (
    "import numpy, PIL.Image, pydicom, torch, transformers, faiss, bm25s, fastapi, uvicorn, gradio, open_clip\n"
    "from transformers import AutoProcessor, BertModel, LlavaForConditionalGeneration\n"
)
"""What a program of this kind imports at the top of its first file."""
_PEER = "LLaVA-Med's and most demos' way: every library imported at the top"
_PEER_PAGE = _PEER + ", the model loaded, then the page served"
_HELP = EAGER + "import app\napp.main(['--help'])\n"
_PAGE = (
    EAGER
    + """
import sys
import app
from assistant.config import AssistantConfig
from assistant.ui.server import serve
from assistant.ui.service import AssistantService
config = AssistantConfig(port=0)
service = AssistantService(lambda: app._open(config))
service.get()
serve(service, host=config.host, port=0, login=None, loopback=True)
"""
)
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(words: Sequence[str]) -> float:
    """Run a command to its end and return the CPU time that it took."""
    before = os.times()
    subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def until_page(words: Sequence[str]) -> tuple[float, float, str]:
    """Start a server and ask it for its page.

    Args:
        words: of the command, after the interpreter.
    Returns:
        CPU seconds and seconds by the clock until the page came, and what the server then said of its model.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1]
        with urllib.request.urlopen(address, timeout=300) as page:
            page.read()
        seconds = time.perf_counter() - started
        used = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        with urllib.request.urlopen(f"{address}/healthz", timeout=300) as told:
            state = str(json.load(told)["model"])
        return (int(used[11]) + int(used[12])) / _TICKS, seconds, state
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def cli_help(device: str) -> Sequence[Measured]:
    """`--help` against the same with every library imported first."""
    theirs = [cpu_seconds(["-c", _HELP]) for _ in range(min(3, SETTINGS.repeats))]
    ours = [cpu_seconds(["app.py", "--help"]) for _ in range(SETTINGS.repeats)]
    fast = statistics.median(ours)
    gate = f"{fast:.3f} s of CPU time, at most 0.1"
    return [Measured("cli_help", _PEER, statistics.median(theirs), fast, gate, fast <= 0.1, 50.0, None, "CPU time")]


def chat_ready(device: str) -> Sequence[Measured]:
    """From the command to the page: it is there before the model, which loads behind it."""
    turns = 1 if SETTINGS.quick else min(3, SETTINGS.repeats)
    theirs, ours = [], []
    for _ in range(turns):
        theirs.append(until_page(["-c", _PAGE]))
        ours.append(until_page(["app.py", "chat", "--port", "0"]))
    slow, fast = (statistics.median(one[0] for one in found) for found in (theirs, ours))
    clock = f"by the clock {statistics.median(one[1] for one in theirs):.1f} and "
    clock += f"{statistics.median(one[1] for one in ours):.1f} s"
    state = ours[-1][2]
    gate = f"the page is served while the model is {state}"
    return [Measured("chat_ready", _PEER_PAGE, slow, fast, gate, state != "failed", 2.5, None, f"CPU time; {clock}")]
