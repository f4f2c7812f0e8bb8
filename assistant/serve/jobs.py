"""`FairQueue`: requests of many clients wait their turn, and those that wait go through the model together.

One thread runs the model. Each batch takes one request of each waiting client in turn, so that a client with a hundred
requests delays another's single one by at most a batch. Kinds that can be joined take in who comes while they run, in
the same turns, until something of another kind waits. A request that was cancelled leaves at once, waiting or not.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from assistant.serve.busy import Busy

__all__ = ["Busy", "FairQueue", "Job"]

logger = logging.getLogger(__name__)

_USUAL_SECONDS = 0.5
"""What a request is taken to last until one has been measured."""

Handler = Callable[[Sequence[Any]], Sequence[Any]]
"""Payloads in, one result each out, in order."""
Joined = Callable[[Callable[[int], Sequence[Any]], Any], Iterator[tuple[int, Any]]]
"""Asks for so many payloads at most, again and again, and yields the number of each with its result or error. Given
also what they all go through: their `Job.model`."""


@dataclass(eq=False)
class Job:
    """One request on its way through the queue."""

    kind: str
    client: str
    payload: Any = None
    model: Any = None
    """What it goes through; only requests of one model go together."""
    future: Future[Any] = field(default_factory=Future)
    """Its result, once there is one."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    told: bool = False
    """Whether its client has read a part of the answer: then it cannot be tried again."""
    since: float = field(default_factory=time.perf_counter)


class FairQueue:
    """Runs requests in fair batches, in a thread of its own.

    Args:
        handlers: what runs a batch, by kind of request.
        joined: what runs requests of these kinds, all of them together, and takes in others while it does.
        away: whether that is done elsewhere, so that other kinds have their turn meanwhile.
        batch_size: most requests of a batch.
        max_waiting: most requests that wait.
        max_each: most of them of one client.
        on_batch: told the kind and size of each batch.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        joined: tuple[Collection[str], Joined] | None = None,
        away: bool = False,
        batch_size: int,
        max_waiting: int,
        max_each: int,
        on_batch: Callable[[str, int], None] = lambda kind, size: None,
    ) -> None:
        self._handlers = dict(handlers)
        self._joined_kinds, self._joined = joined or ((), _nobody)
        self._away = away
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
                first = self._waiting[next(iter(self._waiting))][0]
                kind, model = first.kind, first.model
                del first
                joined = kind in self._joined_kinds
                batch = [] if joined else self._take({kind}, self._batch_size, model)
                self.running = len(batch)
            if joined:
                self._run_joined(model)
                # Or a model that was let go would stay in memory until the next request.
                del model
                continue
            started = time.perf_counter()
            self._run(batch)
            with self._wake:
                self.running = 0
                self._took(time.perf_counter() - started)
            # Or an answer's pictures would stay in memory until the next batch.
            del batch, model

    def _took(self, seconds: float) -> None:
        self._seconds = 0.8 * self._seconds + 0.2 * seconds

    def _take(self, kinds: Collection[str], most: int, model: Any) -> list[Job]:
        """Return waiting requests of some kinds for one model: clients in turn, one each, until there are enough."""
        batch: list[Job] = []
        going = True
        while going and len(batch) < most:
            going = False
            for client in list(self._waiting):
                mine = self._waiting[client]
                if mine[0].kind not in kinds or mine[0].model is not model or len(batch) >= most:
                    continue
                batch.append(mine.popleft())
                going = True
                # Served: to the end of the line.
                self._waiting.move_to_end(client)
                if not mine:
                    del self._waiting[client]
        self._count -= len(batch)
        return batch

    def _run_joined(self, model: Any, alone: Job | None = None) -> None:
        """Run requests that others may join, until none is left or another kind waits; or one of them alone."""
        jobs: list[Job | None] = []
        begun: list[float] = []

        def more(most: int) -> Sequence[Any]:
            taken = self._joining(most, model, begun=bool(jobs)) if alone is None else [] if jobs else [alone]
            jobs.extend(taken)
            begun.extend([time.perf_counter()] * len(taken))
            return [job.payload for job in taken]

        error: Exception | None = None
        try:
            for number, result in self._joined(more, model):
                job, jobs[number] = jobs[number], None
                failed = result if isinstance(result, Exception) else None
                if job is not None:
                    _settle(job, result, failed)
                with self._wake:
                    self.running = max(0, self.running - 1)
                    self._took(time.perf_counter() - begun[number])
        except Exception as caught:
            error = caught
        left = [job for job in jobs if job is not None]
        with self._wake:
            self.running = 0
        for job in left:
            # As in a batch: whatever broke it must not take those with it who had no part in it.
            if job.told or alone is not None or len(left) == 1:
                _settle(job, error=error or RuntimeError("The request came to no end."))
            else:
                self._run_joined(model, job)

    def _joining(self, most: int, model: Any, *, begun: bool) -> list[Job]:
        """Return who may join now: nobody once something of another kind or model waits, so that its turn comes."""
        if self._away and begun:
            self._run_others(model)
        while most > 0:
            with self._wake:
                heads = [mine[0] for mine in self._waiting.values()]
                others = any(one.kind not in self._joined_kinds or one.model is not model for one in heads)
                del heads
                if begun and ((others and not self._away) or self._closed):
                    return []
                taken = self._take(self._joined_kinds, most, model)
            if not taken:
                return []
            there = [job for job in taken if not job.cancelled.is_set()]
            if there:
                self.running += len(there)
                for kind, group in itertools.groupby(sorted(there, key=lambda job: job.kind), lambda job: job.kind):
                    self._on_batch(kind, len(list(group)))
                return there
        return []

    def _run_others(self, model: Any) -> None:
        """Run one batch of a kind that cannot be joined, if any waits; those that are joined go on elsewhere."""
        with self._wake:
            kinds = [mine[0].kind for mine in self._waiting.values() if mine[0].kind not in self._joined_kinds]
            batch = self._take(set(kinds[:1]), self._batch_size, model)
            self.running += len(batch)
        self._run(batch)
        self.running = max(0, self.running - len(batch))

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


def _nobody(more: Callable[[int], Sequence[Any]], model: Any) -> Iterator[tuple[int, Any]]:
    """Run nothing: no kind can be joined."""
    return iter(())


def _settle(job: Job, result: Any = None, error: Exception | None = None) -> None:
    """Give a request its end, unless it was cancelled meanwhile."""
    try:
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
    except InvalidStateError:
        logger.info("a request was cancelled while it ran")
