"""`Calls`: what each request leaves behind, which is lines in the audit log and counts, and nothing of its content."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from assistant.commands.opened import Opened
from assistant.conversation import Usage
from assistant.serve.audit import AuditLog
from assistant.serve.metrics import Metrics


@dataclass
class Call:
    """One request while it is worked on."""

    what: str
    who: str
    metrics: Metrics
    id: str = field(default_factory=lambda: uuid4().hex)
    opened: Opened | None = None
    """What answers, once it is loaded."""
    outcome: str = "cancelled"
    """How it ended; whoever neither finished nor failed went away."""
    started: float = field(default_factory=time.perf_counter)
    _first: bool = True

    def wrote(self) -> None:
        """Note that a piece of text went out."""
        if self._first:
            self.metrics.first_token.observe(time.perf_counter() - self.started)
            self._first = False

    def finished(self, kind: str, abstained: bool, usage: Usage) -> None:
        """Note how a request was answered.

        Args:
            kind: "chat", "reports" or "raw".
            abstained: whether the assistant declined.
            usage: tokens.
        """
        self.outcome = "abstained" if abstained else "answered"
        self.metrics.outcomes.labels(kind, self.outcome).inc()
        self.metrics.tokens.labels("read").inc(usage.prompt_tokens)
        self.metrics.tokens.labels("written").inc(usage.completion_tokens)


class Calls:
    """Notes every request.

    Args:
        audit: where; None keeps no log.
        metrics: what is counted.
    """

    def __init__(self, audit: AuditLog | None, metrics: Metrics) -> None:
        self.audit, self.metrics = audit, metrics
        self.identity: Callable[[Opened | None], dict[str, str | None]] = lambda opened: {}
        """Gives the fingerprints of a model and its index."""

    def note(self, what: str, who: str, **fields: object) -> None:
        """Write one line in the audit log."""
        if self.audit is not None:
            self.audit.append(what, who=who, **fields)

    def note_feedback(self, who: str, name: str, kind: str) -> None:
        """Note that feedback was given, on which id; nothing of what was said."""
        self.note("feedback", who, id=name, kind=kind)

    @contextmanager
    def watched(
        self, what: str, who: str, *, images: int = 0, via: str | None = None, opened: Opened | None = None
    ) -> Iterator[Call]:
        """Note a request before it is worked on, and how it ended.

        Args:
            what: the route.
            who: the client's name.
            images: how many it sent.
            via: its id elsewhere, for a gateway.
            opened: what answers; None where it is still loading, until the call's own `opened` is set.
        Yields:
            The call; set its `outcome`, or call `finished`.
        """
        call = Call(what, who, self.metrics, opened=opened)
        extra = {"via": via} if via else {}
        self.note(what, who, id=call.id, images=images, **self.identity(call.opened), **extra)
        try:
            yield call
        except Exception as error:
            if call.outcome == "cancelled":
                call.outcome = f"failed: {getattr(error, 'code', type(error).__name__)}"
            raise
        finally:
            seconds = time.perf_counter() - call.started
            self.metrics.seconds.labels(what).observe(seconds)
            # Again with model and index: they may have been loading when it was asked.
            told = self.identity(call.opened)
            self.note("ended", who, id=call.id, outcome=call.outcome, seconds=round(seconds, 3), **told)
