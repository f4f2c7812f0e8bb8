"""`audit verify`: whether a line of the audit log was changed, removed or moved."""

from __future__ import annotations

import sys
from pathlib import Path

from assistant.serve.audit import verify_log


def run_audit(path: Path, *, head: str | None = None) -> int:
    """Check a log, and say what was found on stdout.

    Args:
        path: of the log.
        head: hash of the last line as it was noted elsewhere.
    Returns:
        0 if all is well, 1 if not.
    Raises:
        DataError: the log cannot be read.
    """
    verdict = verify_log(path, known=head)
    if verdict.fault:
        sys.stdout.write(f"NOT WHOLE: {verdict.fault}. The {verdict.lines} line(s) before are as they were written.\n")
        return 1
    sys.stdout.write(f"{verdict.lines} line(s), each as it was written and in order. Last hash: {verdict.head}\n")
    if verdict.note:
        sys.stdout.write(f"Note: {verdict.note}.\n")
    return 0
