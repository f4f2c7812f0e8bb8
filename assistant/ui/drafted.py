"""A report's text while it is written, from a function that gives the finished report."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace

from assistant.conversation import Report, ReportRequest


def while_drafted(write: Callable[[ReportRequest], Report], request: ReportRequest) -> Iterator[str | Report]:
    """Yield the pieces of a report's text while it is written in another thread, then the report.

    Args:
        write: drafts; tells pieces through the request's `sampling.on_text`.
        request: one study.
    Yields:
        Pieces of the text, then the report. Whoever stops reading stops the writing.
    """
    pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    gone = threading.Event()
    result: Future[Report] = Future()
    asked = replace(request, sampling=replace(request.sampling, on_text=pieces.put, cancelled=gone.is_set))

    def run() -> None:
        try:
            result.set_result(write(asked))
        except BaseException as error:
            result.set_exception(error)
        finally:
            pieces.put(None)

    threading.Thread(target=run, name="draft", daemon=True).start()
    try:
        while (piece := pieces.get()) is not None:
            yield piece
        yield result.result()
    finally:
        gone.set()
