"""`FairQueue`: requests of many clients wait their turn, and those that wait go through the model together.

One thread runs the model. Each batch takes one request of each waiting client in turn, so that a client with a hundred
requests delays another's single one by at most a batch. A request that was cancelled leaves at once, waiting or not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)

_USUAL_SECONDS = 0.5
"""What a request is taken to last until one has been measured."""

Handler = Callable[[Sequence[Any]], Sequence[Any]]


class Busy(Exception):
    """The queue takes no more, of this client or of anyone."""

    def __init__(self, waiting: int, retry_after_s: float, *, own: bool) -> None:
        """Say so.

        Args:
            waiting: requests that wait already.
            retry_after_s: when to come again.
            own: whether they are this client's own.
        """
        whose = "Your" if own else "The server is busy:"
        super().__init__(f"{whose} {waiting} requests wait already. Try again in {max(1, round(retry_after_s))} s.")
        self.retry_after_s, self.own = max(1.0, retry_after_s), own


@dataclass(eq=False)
class Job:
    """One request on its way through the queue."""

    kind: str
    client: str
    payload: Any = None
    future: Future[Any] = field(default_factory=Future)
    """Its result, once there is one."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    told: bool = False
    """Whether its client has read a part of the answer: then it cannot be tried again."""
    since: float = field(default_factory=time.perf_counter)


class FairQueue:
    """Runs requests in fair batches, in a thread of its own.

    Args:
        handlers: what runs a batch, by kind of request: payloads in, one result each out, in order.
        batch_size: most requests of a batch.
        max_waiting: most requests that wait.
        max_each: most of them of one client.
        on_batch: told the kind and size of each batch.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        batch_size: int,
        max_waiting: int,
        max_each: int,
        on_batch: Callable[[str, int], None] = lambda kind, size: None,
    ) -> None:
        self._handlers = dict(handlers)
        self._batch_size, self._max_waiting, self._max_each = batch_size, max_waiting, max_each
        self._on_batch = on_batch
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        self._count = 0
        self.running = 0
        """Requests in the batch that runs now."""
        self._seconds = _USUAL_SECONDS
        self._closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name="model-queue", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait now."""
        return self._count

    def submit(self, job: Job) -> Job:
        """Let a request wait for its turn.

        Args:
            job: not yet in the queue.
        Returns:
            The same.
        Raises:
            Busy: too many wait already.
        """
        with self._wake:
            if self._closed:
                raise Busy(self._count, 5.0, own=False)
            self._check(job.client)
            self._waiting.setdefault(job.client, deque()).append(job)
            self._count += 1
            self._wake.notify()
        return job

    def check(self, client: str) -> None:
        """Raise Busy if a request of this client would not be taken; called before its body is read."""
        with self._wake:
            self._check(client)

    def _check(self, client: str) -> None:
        own = len(self._waiting.get(client, ()))
        if own >= self._max_each:
            raise Busy(own, own * self._seconds / self._batch_size, own=True)
        if self._count >= self._max_waiting:
            raise Busy(self._count, self._count * self._seconds / self._batch_size, own=False)

    def cancel(self, job: Job) -> None:
        """Take a request out, waiting or running; one that has its result is left alone."""
        job.cancelled.set()
        with self._wake:
            mine = self._waiting.get(job.client)
            if mine is not None and job in mine:
                mine.remove(job)
                self._count -= 1
                if not mine:
                    del self._waiting[job.client]
        job.future.cancel()

    def close(self) -> None:
        """Take no more requests, cancel those that wait, and end after the batch that runs."""
        with self._wake:
            self._closed = True
            left = [job for jobs in self._waiting.values() for job in jobs]
            self._wake.notify()
        for job in left:
            self.cancel(job)
        self._thread.join(30)

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not self._count and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                batch = self._take()
                self.running = len(batch)
            started = time.perf_counter()
            self._run(batch)
            spent = time.perf_counter() - started
            with self._wake:
                self.running = 0
                self._seconds = 0.8 * self._seconds + 0.2 * spent
            # Or an answer's pictures would stay in memory until the next batch.
            del batch

    def _take(self) -> list[Job]:
        """Return a batch of one kind: the clients in turn, one request each, until it is full."""
        first = next(iter(self._waiting))
        kind = self._waiting[first][0].kind
        batch: list[Job] = []
        going = True
        while going and len(batch) < self._batch_size:
            going = False
            for client in list(self._waiting):
                mine = self._waiting[client]
                if mine[0].kind != kind or len(batch) >= self._batch_size:
                    continue
                batch.append(mine.popleft())
                going = True
                # Served: to the end of the line.
                self._waiting.move_to_end(client)
                if not mine:
                    del self._waiting[client]
        self._count -= len(batch)
        return batch

    def _run(self, batch: list[Job]) -> None:
        batch = [job for job in batch if not job.cancelled.is_set()]
        if not batch:
            return
        self._on_batch(batch[0].kind, len(batch))
        try:
            results = self._handlers[batch[0].kind]([job.payload for job in batch])
        except Exception as error:
            if len(batch) == 1:
                _settle(batch[0], error=error)
                return
            # One bad request must not take the others with it: each again, alone.
            for job in batch:
                if job.told:
                    _settle(job, error=error)
                else:
                    self._run([job])
            return
        for job, result in zip(batch, results, strict=True):
            _settle(job, result)


def _settle(job: Job, result: Any = None, error: Exception | None = None) -> None:
    """Give a request its end, unless it was cancelled meanwhile."""
    try:
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
    except InvalidStateError:
        logger.info("a request was cancelled while it ran")
