"""What a report run did, in a few lines."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from assistant.worklist import Summary


def counted(count: int) -> str:
    """Return "1 study" or "12 studies"."""
    return f"{count} {'study' if count == 1 else 'studies'}"


def summary_text(summary: Summary, out: Path) -> str:
    """Return what the run did, in a few lines."""
    lines = [f"{summary.reported} reported, {summary.failed} failed, {summary.already_done} done before → {out}"]
    if summary.reported:
        lines.append(
            f"{summary.images_per_second:.1f} images/s, {summary.studies_per_hour:.0f} studies/h, "
            f"report p50 {summary.percentile(0.5):.2f} s, "
            f"p95 {summary.percentile(0.95):.2f} s, peak memory {_peak_memory_mb():.0f} MB"
        )
    if summary.failed:
        lines.append(
            f"Why they failed: {out / 'failures.jsonl'}. The next run into {out} tries again what may succeed, and "
            "files that were mended; --only-failed tries them all."
        )
    if summary.elsewhere:
        lines.append(f"Another process is at work on {summary.elsewhere} of these studies.")
    return "\n".join(lines) + "\n"


def _peak_memory_mb() -> float:
    """Return the most memory that this process has held, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
