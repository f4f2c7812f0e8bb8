"""`QueuedService`: one model behind the page and the API; every request of either goes through one fair queue."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from assistant.commands.opened import Opened
from assistant.conversation import Answer, Question, Report, ReportRequest
from assistant.errors import AssistantError
from assistant.serve.calls import Call, Calls
from assistant.serve.jobs import Busy, FairQueue, Job
from assistant.serve.settings import ServeConfig
from assistant.shelf import MAIN
from assistant.ui.service import AssistantService

if TYPE_CHECKING:
    from assistant.choice import Others
    from assistant.engine.occlusion import Heat, Occlusion
    from assistant.feedback.desk import Desk
    from assistant.serve.raw import RawRequest
    from assistant.serve.upstream_link import UpstreamLink

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
        others: models that may be chosen beside the first.
    """

    def __init__(
        self,
        load: Callable[[], Opened],
        settings: ServeConfig,
        calls: Calls,
        *,
        batch_size: int,
        feedback: Desk | None = None,
        others: Others | None = None,
    ) -> None:
        super().__init__(load, feedback=feedback, others=others)
        self.settings, self.calls = settings, calls
        calls.identity = self.identity
        handlers = {
            "images": self._image_vectors,
            "texts": self._text_vectors,
            "raw": self._complete,
            "heat": lambda asked: [one.assistant.heat_work(question, answer) for one, (question, answer) in asked],
            "heat part": lambda works: [work.step() for _, work in works],
        }
        away = settings.upstream is not None
        at_once = settings.upstream_requests if away else batch_size
        self.queue = FairQueue(
            handlers,
            joined=(("chat", "reports"), lambda more, one: one.assistant.together(at_once).run(more, eager=True)),
            away=away,
            batch_size=batch_size,
            max_waiting=settings.max_waiting,
            max_each=settings.max_waiting_each,
            on_batch=lambda kind, size: calls.metrics.batch_size.labels(kind).observe(size),
        )
        calls.metrics.watch(lambda: self.queue.waiting, lambda: self.queue.running, lambda: self.state == "ready")
        if away:
            calls.metrics.watch_upstream(lambda: self.upstream)
        calls.metrics.watch_models(lambda: sum(self.shelf.look(name) is not None for name in self.shelf.names))
        self._raw: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def identity(self, opened: Opened | None = None) -> dict[str, str | None]:
        """Return which model and index answer, for the audit log; None while they load.

        Args:
            opened: the model; the first one if None.
        Returns:
            Fingerprints, and where there are several models, the name that it was asked for by.
        """
        opened = opened or (self.shelf.look() if self.others is None else None)
        if opened is None:
            return {"model": None, "index": None}
        made = {"model": opened.model_fingerprint, "index": opened.index_fingerprint}
        told = {**made, "name": opened.model_name} if self.others is not None else made
        return {**told, "upstream": opened.upstream.model or None} if opened.upstream else told

    @property
    def upstream(self) -> UpstreamLink | None:
        """The way to the server that writes the text; None where it is written here, or the model still loads."""
        opened = self.shelf.look()
        return opened.upstream if opened is not None else None

    def health(self) -> dict[str, str]:
        """Return the state of each part: the model here, and the server that writes the text where there is one."""
        made = super().health()
        return {**made, "upstream": self.upstream.state} if self.upstream else made

    def check_writer(self) -> None:
        """Refuse what would be written, while the server that writes it is down.

        Raises:
            UpstreamError: it is; it tells when to come again.
        """
        if self.upstream is not None:
            self.upstream.breaker.check()

    def close(self) -> None:
        """Take no more requests, and end the connections to another server."""
        self.queue.close()
        if self.upstream is not None:
            self.upstream.close()

    def submit(self, kind: str, client: str, payload: Any, opened: Opened | None = None) -> Job:
        """Let something wait for the model.

        Args:
            kind: "images" with pictures, or "texts" with strings.
            client: whose turn it takes.
            payload: what to work on.
            opened: with which model; the first one if None.
        Returns:
            The job; its future has the result.
        Raises:
            Busy: too many wait already.
        """
        opened = opened or self.get()
        return self.queue.submit(Job(kind, client, (opened, payload), opened))

    def ask(
        self,
        kind: str,
        client: str,
        asked: Asked,
        on_text: Callable[[str], None] | None = None,
        opened: Opened | None = None,
        *,
        name: str | None = None,
    ) -> Job:
        """Let a question, a study or a raw request wait for the model.

        Args:
            kind: "chat", "reports" or "raw".
            client: whose turn it takes.
            asked: with its own sampling.
            on_text: told each piece of the text while it is written, in the model's thread.
            opened: which model answers; the first one if None.
            name: of the request in the audit log.
        Returns:
            The job; its future has the result.
        Raises:
            Busy: too many wait already.
            UpstreamError: another server writes, and is down.
        """
        self.check_writer()
        job = Job(kind, client, model=opened or self.get())

        def tell(piece: str) -> None:
            job.told = True
            if on_text is not None and not job.cancelled.is_set():
                on_text(piece)

        sampling = replace(asked.sampling, cancelled=job.cancelled.is_set, on_text=tell if on_text else None, name=name)
        job.payload = replace(asked, sampling=sampling)
        if kind == "raw":
            job.payload = (job.model, job.payload)
        return self.queue.submit(job)

    def stream(self, question: Question, who: str = "page", model: str = MAIN) -> Iterator[str | Answer]:
        """Answer a question of the page; as `MedicalAssistant.stream`, in its turn."""
        images, known = len(question.pictures), self.shelf.look(model)
        with self.calls.watched("page.ask", who, images=images, opened=known) as call:
            call.opened, told = self.get(model=model), False
            for piece in self._pieces(call, "chat", who, question):
                if isinstance(piece, Answer):
                    call.finished("chat", piece.abstained, piece.usage)
                    if not told:
                        yield piece.text
                told = True
                yield piece

    def draft(self, request: ReportRequest, who: str = "page", model: str = MAIN) -> Iterator[str | Report]:
        """Draft a report of the page, in its turn, while its reader watches."""
        images, known = len(request.pictures) + len(request.priors), self.shelf.look(model)
        with self.calls.watched("page.report", who, images=images, opened=known) as call:
            call.opened = self.get(model=model)
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

    def heat(self, question: Question, answer: str, who: str = "page", model: str = MAIN) -> Heat | None:
        """Work out what an answer of the page rests on, part by part: between the parts others have their turn."""
        images, known = len(question.pictures), self.shelf.look(model)
        with self.calls.watched("page.heat", who, images=images, opened=known) as call:
            opened = call.opened = self.get(model=model)
            ends = time.monotonic() + self.settings.timeout_s
            try:
                work: Occlusion | None = self._done("heat", who, (question, answer), ends, opened)
                while work is not None and not work.done:
                    self._done("heat part", who, work, ends, opened)
            except Busy as error:
                call.outcome = "busy"
                raise AssistantError(str(error)) from error
            call.outcome = "answered"
        return work.heat() if work is not None else None

    def _done(self, kind: str, who: str, payload: Any, ends: float, opened: Opened) -> Any:
        """Wait for one job's result."""
        job = self.submit(kind, who, payload, opened)
        try:
            return job.future.result(max(0.0, ends - time.monotonic()))
        finally:
            self.queue.cancel(job)

    def _page(self, call: Call, kind: str, who: str, asked: Any, on_text: Callable[[str], None] | None = None) -> Job:
        try:
            return self.ask(kind, who, asked, on_text, call.opened, name=call.id)
        except Busy as error:
            call.outcome = "busy"
            raise AssistantError(str(error)) from error

    def _image_vectors(self, wanted: Sequence[Any]) -> list[Any]:
        opened = wanted[0][0]
        found = opened.assistant.encode([picture for _, pictures in wanted for picture in pictures])
        return _split([one.joint for one in found], [len(pictures) for _, pictures in wanted])

    def _text_vectors(self, wanted: Sequence[Any]) -> list[Any]:
        opened = wanted[0][0]
        flat = opened.assistant.model.text.embed([text for _, texts in wanted for text in texts])
        return _split(flat, [len(texts) for _, texts in wanted])

    def _complete(self, wanted: Sequence[Any]) -> list[Any]:
        from assistant.serve.raw import RawWriter

        made = wanted[0][0].assistant
        if made not in self._raw:
            self._raw[made] = RawWriter(made.model, made.settings)
        return list(self._raw[made].complete([asked for _, asked in wanted]))


def _split(rows: Any, sizes: Sequence[int]) -> list[Any]:
    """Cut (N, E) rows into parts of the given sizes."""
    parts, start = [], 0
    for size in sizes:
        parts.append(rows[start : start + size])
        start += size
    return parts
