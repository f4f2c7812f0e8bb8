"""Keeps other libraries' warnings and log lines in, because they quote header values."""

from __future__ import annotations

import logging
import threading
import warnings

# pydicom quotes element values in warnings, PIL logs EXIF and TIFF tags at DEBUG: either may hold a name.
_QUIETED = {"pydicom": logging.CRITICAL + 1, "PIL": logging.INFO}


class _Quiet:
    """A context that mutes warnings while any thread is inside it.

    `warnings.catch_warnings` alone is not safe when two threads overlap: the one that leaves last would
    restore the other's muted state for good. Here the first to enter mutes and the last to leave restores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                for name, level in _QUIETED.items():
                    logging.getLogger(name).setLevel(level)
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


QUIET = _Quiet()
"""`with QUIET:` around every call into pydicom or PIL."""
