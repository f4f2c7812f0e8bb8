"""What a row of the benchmark suite is, and how two ways are timed side by side.

Both ways run in turn in one process, so that what else the machine does strikes both; the first turn does not count,
and the median of the others does. A row is nothing without its gate: a faster way that gives another result has lost.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """One line of the table."""

    name: str
    """Of the row; one row may give several lines, such as `dicom_load raw` and `dicom_load RLE`."""
    peer: str
    """What the other way does, in a few words, with its source."""
    theirs: float
    """Median seconds of the other way."""
    ours: float
    """Median seconds of this project's way."""
    gate: str
    """What the result had to keep, with the value found: `mean error 0.4 of 255, at most 2`."""
    kept: bool
    """Whether it kept it."""
    wanted: float | None = None
    """The ratio asked for; None where only the figure is of interest."""
    limit: float | None = None
    """The share of the machine's own measured limit that our way reaches, 0 to 1; None where no limit applies."""
    note: str = ""
    """What a reader must know besides: sizes, threads, why a figure is missed."""

    @property
    def ratio(self) -> float:
        """How often our way goes in the time of the other."""
        return self.theirs / self.ours if self.ours else float("inf")

    @property
    def reached(self) -> bool:
        """Whether the gate holds and the ratio is what was asked."""
        return self.kept and (self.wanted is None or self.ratio >= self.wanted)


def side_by_side(
    theirs: Callable[[], object],
    ours: Callable[[], object],
    *,
    repeats: int = 5,
    clock: Callable[[], float] | None = None,
) -> tuple[float, float]:
    """Run two ways in turn, and return the median seconds of each.

    Args:
        theirs: the other way.
        ours: this project's way.
        repeats: turns that count; one more comes before them to warm up.
        clock: what tells the time; `time.perf_counter` unless given.
    Returns:
        The medians, theirs first.
    """
    now = clock or time.perf_counter
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for way, kept in zip((theirs, ours), times, strict=True):
            started = now()
            way()
            if turn:
                kept.append(now() - started)
    return statistics.median(times[0]), statistics.median(times[1])
