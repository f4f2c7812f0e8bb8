"""What the server gives: `python -m benchmarks.serving [--model M] [--requests 2000] [--only PART…] [--gateway]`.

first token     seconds from a streamed question to its first piece of text, one client, a new image each time
requests/s      whole answers at 1, 8 and 32 clients at once, a new image each time
memory          what the server's process holds after each tenth of many requests by 32 clients

The server runs in a process of its own, with its page off, and answers over HTTP on this machine. With `--gateway` it
stands before a second one of the same model, which writes the text.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

import assistant
from assistant.ending import run_command

ROOT = Path(assistant.__file__).parent.parent
QUESTIONS = ("What abnormality is seen?", "What kind of image is this?", "Is there a pneumothorax?", "Describe it.")
CLIENTS = (1, 8, 32)
PARTS = ("first", "rate", "memory")


class Asker:
    """Asks questions about the shipped examples, each changed a little, so that no picture is known already."""

    def __init__(self, url: str, model: str) -> None:
        self.url, self.model = url, model
        self._images = [
            np.asarray(Image.open(path).convert("RGB"))
            for path in sorted((ROOT / "assistant" / "starter" / "examples").glob("*.png"))
        ]
        self._count = itertools.count()

    def body(self, **fields: Any) -> dict[str, Any]:
        """Return the next request."""
        number = next(self._count)
        pixels = self._images[number % len(self._images)].copy()
        pixels[0, 0] = (number % 256, number // 256 % 256, number // 65536)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        content = [{"type": "text", "text": QUESTIONS[number % 4]}, {"type": "image_url", "image_url": {"url": url}}]
        return {"model": self.model, "messages": [{"role": "user", "content": content}], **fields}

    async def ask(self, client: httpx.AsyncClient) -> None:
        """Ask once, and fail loudly if there is no answer."""
        answer = await client.post(f"{self.url}/v1/chat/completions", json=self.body())
        answer.raise_for_status()
        assert answer.json()["choices"][0]["message"]["content"]

    async def first_token(self, client: httpx.AsyncClient) -> float:
        """Return the seconds to the first piece of text of one streamed answer."""
        body, started, first = self.body(stream=True), time.perf_counter(), None
        async with client.stream("POST", f"{self.url}/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                choices = json.loads(line[5:]).get("choices") if line.startswith("data: {") else None
                if first is None and choices and choices[0]["delta"].get("content"):
                    first = time.perf_counter() - started
        assert first is not None
        return first

    async def many(self, clients: int, requests: int) -> float:
        """Return answers a second of many clients at once."""
        left = iter(range(requests))
        async with httpx.AsyncClient(timeout=300, limits=httpx.Limits(max_connections=clients)) as client:

            async def one() -> None:
                for _ in left:
                    await self.ask(client)

            started = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(clients)))
        return requests / (time.perf_counter() - started)


def memory_mb(process: int) -> float:
    """Return what a process holds in memory, in MB (10^6 bytes)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


def cpu_s(process: int) -> float:
    """Return the processor time that a process has taken, in seconds; other work on the machine changes it little."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(asker: Asker, process: int, requests: int, only: Sequence[str]) -> None:
    """Measure everything, and print it as it comes."""
    async with httpx.AsyncClient(timeout=600) as client:
        while (await client.get(f"{asker.url}/readyz")).status_code != 200:
            await asyncio.sleep(0.2)
        asker.model = (await client.get(f"{asker.url}/v1/models")).json()["data"][0]["id"]
        for _ in range(4):
            await asker.ask(client)
    if "first" in only:
        await measure_first(asker)
    if "rate" in only:
        await measure_rate(asker, process)
    if "memory" in only:
        await measure_memory(asker, process, requests)


async def measure_first(asker: Asker) -> None:
    """Print how long the first piece of a streamed answer takes."""
    async with httpx.AsyncClient(timeout=600) as client:
        seconds = sorted([await asker.first_token(client) for _ in range(40)])
    print(f"first token: median {statistics.median(seconds):.2f} s, 95 % within {seconds[37]:.2f} s (40 questions)")


async def measure_rate(asker: Asker, process: int) -> None:
    """Print how many answers a second many clients get together."""
    for clients in CLIENTS:
        count, before = 20 * max(2, clients // 4), cpu_s(process)
        rate = await asker.many(clients, count)
        print(f"{clients} client(s): {rate:.1f} answers/s, {(cpu_s(process) - before) / count:.3f} s of CPU each")


async def measure_memory(asker: Asker, process: int, requests: int) -> None:
    """Print what the process holds after each tenth of many requests."""
    held = []
    for _ in range(10):
        await asker.many(32, requests // 10)
        held.append(memory_mb(process))
    print(f"memory after each of 10 x {requests // 10} requests: {', '.join(f'{one:.0f}' for one in held)} MB")
    print(f"from the second tenth to the last: {100 * (held[-1] / held[1] - 1):+.1f} %")


@contextmanager
def server(model: str, *words: str) -> Iterator[tuple[int, str]]:
    """Start a server, and end it.

    Args:
        model: starter or a folder.
        *words: further options.
    Yields:
        Its process id and its address.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "serve.yaml"
        settings.write_text(f"serve:\n  requests_per_minute: 0\n  page: false\n  audit: {folder}/audit.jsonl\n")
        command = [
            sys.executable,
            "app.py",
            "serve",
            "--port",
            "0",
            "--model",
            model,
            "--config",
            str(settings),
            *words,
        ]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
            assert process.stdout is not None
            found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
            assert found, "the server did not start"
            try:
                yield process.pid, found.group()
            finally:
                process.terminate()


def main() -> int:
    """Start the server, measure, and end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter", help="starter or a model folder (default: starter)")
    parser.add_argument("--requests", type=int, default=2000, help="requests of the memory test (default: 2000)")
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS, help="what to measure (default: all)")
    parser.add_argument("--gateway", action="store_true", help="put the server before a second one, which writes")
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with ExitStack() as ending:
        words: tuple[str, ...] = ()
        if args.gateway:
            _, address = ending.enter_context(server(args.model, "--raw"))
            words = ("--upstream", f"{address}/v1")
        process, address = ending.enter_context(server(args.model, *words))
        asyncio.run(measure(Asker(address, ""), process, args.requests, args.only))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
