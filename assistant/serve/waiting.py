"""Waiting for the model without holding up anyone: until it is done, the client leaves, or time is up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request

from assistant.serve.engine import QueuedService
from assistant.serve.errors import ApiError
from assistant.serve.jobs import Job

_LOOK_S = 0.1
"""How often it is looked whether the client is still there."""


async def result_of(job: Job, request: Request, service: QueuedService) -> Any:
    """Return a job's result.

    Args:
        job: in the queue.
        request: whose client may leave; the job then leaves the queue.
        service: of the queue.
    Returns:
        The result.
    Raises:
        ApiError: the client has left.
        TimeoutError: it took too long.
    """
    waiting = asyncio.ensure_future(asyncio.wrap_future(job.future))
    try:
        async with asyncio.timeout(service.settings.timeout_s):
            while True:
                done, _ = await asyncio.wait([waiting], timeout=_LOOK_S)
                if done:
                    return waiting.result()
                if await request.is_disconnected():
                    raise ApiError(499, "The client has left.", code="client_closed_request")
    finally:
        service.queue.cancel(job)
        waiting.cancel()


async def pieces_of(job: Job, pieces: asyncio.Queue[str], service: QueuedService) -> AsyncIterator[str]:
    """Yield the pieces of a text while it is written; leaving early takes the job out of the queue.

    Args:
        job: in the queue.
        pieces: filled by the job.
        service: of the queue.
    Yields:
        Each piece; nothing after the last, when `job.future` is done.
    Raises:
        TimeoutError: it took too long.
    """
    finished = asyncio.ensure_future(asyncio.wrap_future(job.future))
    ends = asyncio.get_running_loop().time() + service.settings.timeout_s
    try:
        while True:
            piece = asyncio.ensure_future(pieces.get())
            left = ends - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait([finished, piece], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if piece in done:
                yield piece.result()
                continue
            piece.cancel()
            if not done:
                raise TimeoutError
            while not pieces.empty():
                yield pieces.get_nowait()
            return
    finally:
        service.queue.cancel(job)
        finished.cancel()
        if finished.done() and not finished.cancelled():
            finished.exception()  # whoever reads the job's future is told
