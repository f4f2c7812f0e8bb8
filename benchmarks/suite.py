"""What a row of the benchmark suite is, and how two ways are timed side by side.

Both ways run in turn in one process, so that what else the machine does strikes both; the first turn does not count,
and the median of the others does. A row is nothing without its gate: a faster way that gives another result has lost.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache


@dataclass
class Settings:
    """How the rows are run; `benchmarks.run` sets it before the first."""

    repeats: int = 5
    """Turns that count."""
    quick: bool = False
    """Small sizes, to see that a row runs; its figures are none to quote."""
    clock: Callable[[], float] = time.perf_counter
    """What tells the time: the wall's, or this process's CPU time on a machine that is not idle."""


SETTINGS = Settings()


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
    repeats: int | None = None,
    clock: Callable[[], float] | None = None,
) -> tuple[float, float]:
    """Run two ways in turn, and return the median seconds of each.

    Args:
        theirs: the other way.
        ours: this project's way.
        repeats: turns that count, those of `SETTINGS` unless given; one more comes before them to warm up.
        clock: what tells the time; that of `SETTINGS` unless given.
    Returns:
        The medians, theirs first.
    """
    now = clock or SETTINGS.clock
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range((SETTINGS.repeats if repeats is None else repeats) + 1):
        for way, kept in zip((theirs, ours), times, strict=True):
            started = now()
            way()
            if turn:
                kept.append(now() - started)
    return statistics.median(times[0]), statistics.median(times[1])


@cache
def product_rate(dtype: str = "bfloat16") -> float:
    """Return the products a second, in GFLOP, that this machine's matrix product reaches: the limit of a tower.

    Args:
        dtype: a name of torch's.
    Returns:
        The best of five of each of some shapes, with torch's number of threads: large squares do not fit the caches,
        and a tower's own are quicker.
    """
    import torch

    kind, best = getattr(torch, dtype), 0.0
    for rows, inputs, outputs in ((2048, 4096, 4096), (1576, 768, 768), (1576, 768, 3072), (1576, 3072, 768)):
        weight = torch.randn(outputs, inputs).to(kind)
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        hidden = torch.randn(rows, inputs).to(kind)
        with torch.inference_mode():
            for _ in range(6):
                started = SETTINGS.clock()
                torch.ops.mkldnn._linear_pointwise(hidden, packed, None, "none", [], "")
                best = max(best, 2 * rows * inputs * outputs / (SETTINGS.clock() - started) / 1e9)
    return best


def machine_line() -> str:
    """Return what the figures hold for: processor, cores, threads, torch and commit."""
    import os
    import subprocess
    from pathlib import Path

    import torch

    from assistant.remembered import processor

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    commit = told.stdout.strip() or "unknown"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    return (
        f"{processor()}, {cores} cores, {torch.get_num_threads()} threads{gpu}, torch {torch.__version__}, "
        f"commit {commit}, {time.strftime('%Y-%m-%d')}"
    )
