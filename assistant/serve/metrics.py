"""Counters and times for Prometheus. Labels are routes, outcomes and sizes; never a user or anything of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from assistant.serve.upstream_link import UpstreamLink

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 0.7, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """What one server counts."""

    def __init__(self) -> None:
        """Begin at zero; two servers of one process count apart."""
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "medassist_requests", "Requests by route and status.", ("route", "status"), registry=own
        )
        self.refused = Counter("medassist_refused", "Requests not taken, by reason.", ("reason",), registry=own)
        self.seconds = Histogram(
            "medassist_request_seconds",
            "Time of a request, waiting included.",
            ("route",),
            buckets=_SECONDS,
            registry=own,
        )
        self.first_token = Histogram(
            "medassist_first_token_seconds",
            "Time to the first piece of a streamed answer.",
            buckets=_SECONDS,
            registry=own,
        )
        self.outcomes = Counter(
            "medassist_answers", "Answers and reports by outcome.", ("kind", "outcome"), registry=own
        )
        self.tokens = Counter("medassist_tokens", "Tokens read and written.", ("direction",), registry=own)
        self.batch_size = Histogram(
            "medassist_batch_size", "Requests that went through the model together.", ("kind",),
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=own,
        )  # fmt: skip
        self._waiting = Gauge("medassist_waiting", "Requests that wait for the model.", registry=own)
        self._running = Gauge("medassist_running", "Requests in the model now.", registry=own)
        self._ready = Gauge("medassist_ready", "1 once the model is loaded.", registry=own)
        self._models = Gauge("medassist_models_loaded", "Models in memory.", registry=own)
        ProcessCollector(registry=self.registry)

    def watch(self, waiting: Callable[[], int], running: Callable[[], int], ready: Callable[[], bool]) -> None:
        """Read these whenever the counts are asked for.

        Args:
            waiting: of the queue.
            running: of the queue.
            ready: of the model.
        """
        self._waiting.set_function(waiting)
        self._running.set_function(running)
        self._ready.set_function(lambda: float(ready()))

    def watch_models(self, loaded: Callable[[], int]) -> None:
        """Read the number of models in memory whenever the counts are asked for."""
        self._models.set_function(loaded)

    def watch_upstream(self, link: Callable[[], UpstreamLink | None]) -> None:
        """Count what goes to another server that writes the text.

        Args:
            link: to that server; None while the model still loads.
        """

        def read(what: Callable[[UpstreamLink], float]) -> Callable[[], float]:
            return lambda: what(found) if (found := link()) is not None else 0.0

        own = self.registry
        Gauge("medassist_upstream_up", "1 while the upstream server answers.", registry=own).set_function(
            read(lambda one: float(one.state == "up"))
        )
        Gauge("medassist_upstream_running", "Answers that it writes now.", registry=own).set_function(
            read(lambda one: one.busy)
        )
        Gauge("medassist_upstream_tried_again", "Tries after the first, so far.", registry=own).set_function(
            read(lambda one: one.tried_again)
        )

    def text(self) -> bytes:
        """Return all counts in Prometheus' text form."""
        return generate_latest(self.registry)
