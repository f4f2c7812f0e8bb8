"""`Breaker` and `UpstreamError`: whether the other server is worth asking, and what a client is told when it is not.

After some failures in a row nobody asks it any more, so that clients hear at once what is wrong instead of waiting for
one time limit after another. Only a probe goes there then, and its success opens the way again (the circuit breaker of
M. Nygard, Release It!, 2007; here no client's request is spent on finding out).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from assistant.errors import ModelError

FAILURES = 3
"""Failures in a row after which it counts as down."""
FIRST_PROBE_S, LONGEST_PROBE_S = 1.0, 30.0
"""Time before the first probe, which doubles up to the longest."""


class UpstreamError(ModelError):
    """The other server did not write an answer."""

    def __init__(self, message: str, *, status: int, code: str, retry_after_s: float | None = None) -> None:
        """Keep what a client of ours is told.

        Args:
            message: what is wrong, and what to do.
            status: of HTTP.
            code: a short name of the fault, for programs.
            retry_after_s: when to come again, where that may help.
        """
        super().__init__(message)
        self.status, self.code = status, code
        self.retry_after_s = None if retry_after_s is None else max(1, math.ceil(retry_after_s))


class Breaker:
    """Counts failures in a row, and shuts the way to a server that has too many.

    Args:
        address: of the server, for messages.
        on_open: called each time the way is shut, once; starts to probe.
        clock: seconds; another one for tests.
    """

    def __init__(
        self, address: str, on_open: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._address, self._on_open, self._clock = address, on_open, clock
        self._lock = threading.Lock()
        self._failures = 0
        self._why = ""
        self._probe_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the way is shut."""
        return self._probe_at is not None

    def check(self) -> None:
        """Refuse a request while the server is down.

        Raises:
            UpstreamError: it is; a client may come again after the next probe.
        """
        with self._lock:
            if self._probe_at is None:
                return
            wait = max(0.0, self._probe_at - self._clock()) + 1.0
            raise UpstreamError(
                f"The upstream server {self._address} does not answer ({self._why}). Start it, or check --upstream. "
                f"It is looked for again and again; come back in {math.ceil(wait)} s.",
                status=503, code="upstream_unavailable", retry_after_s=wait,
            )  # fmt: skip

    def succeeded(self) -> None:
        """Note that it answered: failures before count no more, and a way that was shut is open."""
        with self._lock:
            self._failures, self._probe_at = 0, None

    def failed(self, why: str, *, surely: bool = False) -> None:
        """Note a failure.

        Args:
            why: in a word or two; of a library, never of a request.
            surely: shut the way at once.
        """
        with self._lock:
            self._failures, self._why = self._failures + 1, why
            if self._probe_at is not None or not (surely or self._failures >= FAILURES):
                return
            self._probe_at = self._clock() + FIRST_PROBE_S
        self._on_open()

    def probed_in(self, wait_s: float) -> None:
        """Note when the next probe will be."""
        with self._lock:
            if self._probe_at is not None:
                self._probe_at = self._clock() + wait_s
