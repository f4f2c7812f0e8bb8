"""`QueuedService`: one model behind the page and the API; every request of either goes through one fair queue."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from assistant.commands.opened import Opened
from assistant.conversation import Answer, Question, Report, ReportRequest
from assistant.errors import AssistantError
from assistant.serve.calls import Call, Calls
from assistant.serve.jobs import Busy, FairQueue, Job
from assistant.serve.settings import ServeConfig
from assistant.ui.service import AssistantService

if TYPE_CHECKING:
    from assistant.engine.occlusion import Heat, Occlusion
    from assistant.feedback.desk import Desk
    from assistant.serve.raw import RawRequest

logger = logging.getLogger(__name__)

Asked = TypeVar("Asked", Question, ReportRequest, "RawRequest")


class QueuedService(AssistantService):
    """Hands requests to the model in fair batches.

    Args:
        load: gives the assistant.
        settings: how many may wait, and how long.
        calls: what each request leaves behind.
        batch_size: requests that go through the model together.
        feedback: takes in what people say of answers; None takes none.
    """

    def __init__(
        self,
        load: Callable[[], Opened],
        settings: ServeConfig,
        calls: Calls,
        *,
        batch_size: int,
        feedback: Desk | None = None,
    ) -> None:
        super().__init__(load, feedback=feedback)
        self.settings, self.calls = settings, calls
        calls.identity = self.identity
        handlers = {
            "images": self._image_vectors,
            "texts": self._text_vectors,
            "raw": self._complete,
            "heat": lambda asked: [self._assistant.heat_work(question, answer) for question, answer in asked],
            "heat part": lambda works: [work.step() for work in works],
        }
        self.queue = FairQueue(
            handlers,
            joined=(("chat", "reports"), lambda more: self._assistant.together(batch_size).run(more, eager=True)),
            batch_size=batch_size,
            max_waiting=settings.max_waiting,
            max_each=settings.max_waiting_each,
            on_batch=lambda kind, size: calls.metrics.batch_size.labels(kind).observe(size),
        )
        calls.metrics.watch(lambda: self.queue.waiting, lambda: self.queue.running, lambda: self.state == "ready")
        self._raw: Any = None

    @property
    def _assistant(self) -> Any:
        return self.get().assistant

    def identity(self) -> dict[str, str | None]:
        """Return which model and index answer, for the audit log; None while they load."""
        if self.state != "ready":
            return {"model": None, "index": None}
        opened = self.get()
        made = {"model": opened.model_fingerprint, "index": opened.index_fingerprint}
        return {**made, "upstream": opened.upstream} if opened.upstream else made

    def submit(self, kind: str, client: str, payload: Any) -> Job:
        """Let something wait for the model.

        Args:
            kind: "images" with pictures, or "texts" with strings.
            client: whose turn it takes.
            payload: what to work on.
        Returns:
            The job; its future has the result.
        Raises:
            Busy: too many wait already.
        """
        return self.queue.submit(Job(kind, client, payload))

    def ask(self, kind: str, client: str, asked: Asked, on_text: Callable[[str], None] | None = None) -> Job:
        """Let a question, a study or a raw request wait for the model.

        Args:
            kind: "chat", "reports" or "raw".
            client: whose turn it takes.
            asked: with its own sampling.
            on_text: told each piece of the text while it is written, in the model's thread.
        Returns:
            The job; its future has the result.
        Raises:
            Busy: too many wait already.
        """
        job = Job(kind, client)

        def tell(piece: str) -> None:
            job.told = True
            if on_text is not None and not job.cancelled.is_set():
                on_text(piece)

        sampling = replace(asked.sampling, cancelled=job.cancelled.is_set, on_text=tell if on_text else None)
        job.payload = replace(asked, sampling=sampling)
        return self.queue.submit(job)

    def stream(self, question: Question, who: str = "page") -> Iterator[str | Answer]:
        """Answer a question of the page; as `MedicalAssistant.stream`, in its turn."""
        with self.calls.watched("page.ask", who, images=len(question.pictures)) as call:
            told = False
            for piece in self._pieces(call, "chat", who, question):
                if isinstance(piece, Answer):
                    call.finished("chat", piece.abstained, piece.usage)
                    if not told:
                        yield piece.text
                told = True
                yield piece

    def draft(self, request: ReportRequest, who: str = "page") -> Iterator[str | Report]:
        """Draft a report of the page, in its turn, while its reader watches."""
        with self.calls.watched("page.report", who, images=len(request.pictures) + len(request.priors)) as call:
            for piece in self._pieces(call, "reports", who, request):
                if isinstance(piece, Report):
                    call.finished("reports", piece.abstained, piece.usage)
                yield piece

    def _pieces(self, call: Call, kind: str, who: str, asked: Any) -> Iterator[Any]:
        """Yield what is written, piece by piece, then the whole; whoever stops reading leaves the queue."""
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        job = self._page(call, kind, who, asked, pieces.put)
        job.future.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get(timeout=self.settings.timeout_s)) is not None:
                yield piece
            yield job.future.result()
        except queue.Empty:
            raise AssistantError("This took too long, as others are asking too. Try again in a minute.") from None
        finally:
            self.queue.cancel(job)

    def heat(self, question: Question, answer: str, who: str = "page") -> Heat | None:
        """Work out what an answer of the page rests on, part by part: between the parts others have their turn."""
        with self.calls.watched("page.heat", who, images=len(question.pictures)) as call:
            ends = time.monotonic() + self.settings.timeout_s
            try:
                work: Occlusion | None = self._done("heat", who, (question, answer), ends)
                while work is not None and not work.done:
                    self._done("heat part", who, work, ends)
            except Busy as error:
                call.outcome = "busy"
                raise AssistantError(str(error)) from error
            call.outcome = "answered"
        return work.heat() if work is not None else None

    def _done(self, kind: str, who: str, payload: Any, ends: float) -> Any:
        """Wait for one job's result."""
        job = self.submit(kind, who, payload)
        try:
            return job.future.result(max(0.0, ends - time.monotonic()))
        finally:
            self.queue.cancel(job)

    def _page(self, call: Call, kind: str, who: str, asked: Any, on_text: Callable[[str], None] | None = None) -> Job:
        try:
            return self.ask(kind, who, asked, on_text)
        except Busy as error:
            call.outcome = "busy"
            raise AssistantError(str(error)) from error

    def _image_vectors(self, wanted: Sequence[Any]) -> list[Any]:
        found = self._assistant.encode([picture for pictures in wanted for picture in pictures])
        return _split([one.joint for one in found], [len(pictures) for pictures in wanted])

    def _text_vectors(self, wanted: Sequence[Any]) -> list[Any]:
        flat = self._assistant.model.text.embed([text for texts in wanted for text in texts])
        return _split(flat, [len(texts) for texts in wanted])

    def _complete(self, wanted: Sequence[Any]) -> list[Any]:
        from assistant.serve.raw import RawWriter

        if self._raw is None:
            self._raw = RawWriter(self._assistant.model, self._assistant.settings)
        return list(self._raw.complete(wanted))


def _split(rows: Any, sizes: Sequence[int]) -> list[Any]:
    """Cut (N, E) rows into parts of the given sizes."""
    parts, start = [], 0
    for size in sizes:
        parts.append(rows[start : start + size])
        start += size
    return parts
