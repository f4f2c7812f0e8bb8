"""`Recent`: the answers of the last hour, in memory alone, so that their askers, and nobody else, can judge them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from assistant.conversation import Answer, Question, Report, ReportRequest
from assistant.slice_note import pictures_read

LONGEST_S = 3600.0
MOST = 512
MOST_BYTES = 128_000_000
"""Of pixels; those of one picture that was asked about twice count twice."""


@dataclass(frozen=True, eq=False)
class Subject:
    """An answer or a report that can be judged."""

    name: str
    """Its id."""
    asked: Question | ReportRequest
    made: Answer | Report
    index: str | None = None
    """Fingerprint of the index."""

    @property
    def size(self) -> int:
        """Bytes of its pixels."""
        priors = self.asked.priors if isinstance(self.asked, ReportRequest) else ()
        return sum(one.pixels.nbytes for one in (*self.asked.pictures, *priors))


def subject_of(name: str, asked: Question | ReportRequest, made: Answer | Report, index: str | None = None) -> Subject:
    """Return what can be judged; of a volume only the slices that the model read are held.

    Args:
        name: its id.
        asked: what was asked.
        made: what came of it.
        index: fingerprint of the index.
    Returns:
        The answer or report with what it was made from.
    """
    pictures = pictures_read(asked.pictures, made.slices)
    if isinstance(asked, ReportRequest):
        priors = pictures_read(asked.priors, made.slices)
        return Subject(name, replace(asked, pictures=pictures, priors=priors), made, index)
    return Subject(name, replace(asked, pictures=pictures), made, index)


class Recent:
    """Remembers answers by id and asker; the oldest go first.

    Args:
        longest_s: for how long.
        most: how many.
        most_bytes: how many bytes of pixels.
        clock: seconds; another one for tests.
    """

    def __init__(
        self,
        longest_s: float = LONGEST_S,
        most: int = MOST,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._longest, self._most, self._most_bytes, self._clock = longest_s, most, most_bytes, clock
        self._held: OrderedDict[str, tuple[str, float, Subject]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def note(self, who: str, subject: Subject) -> None:
        """Remember an answer.

        Args:
            who: asked.
            subject: what was asked and answered.
        """
        with self._lock:
            self._held[subject.name] = who, self._clock(), subject
            self._bytes += subject.size
            self._forget()

    def find(self, who: str, name: str) -> Subject | None:
        """Return an answer of this asker's own.

        Args:
            who: asks now.
            name: id of the answer.
        Returns:
            None for another's as for one that never was, or was forgotten.
        """
        with self._lock:
            self._forget()
            owner, _, subject = self._held.get(name, ("", 0.0, None))
            return subject if owner == who else None

    def _forget(self) -> None:
        oldest = self._clock() - self._longest
        while self._held:
            _, since, subject = next(iter(self._held.values()))
            if since > oldest and len(self._held) <= self._most and self._bytes <= self._most_bytes:
                return
            self._held.popitem(last=False)
            self._bytes -= subject.size
