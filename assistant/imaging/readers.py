"""What reads DICOM, imported by one thread at a time.

pydicom's modules import each other in a circle, and ours import pydicom when a first file needs it. Threads that do so
at the same time can meet modules that are half made, and a sound file would be called damaged.
"""

from __future__ import annotations

import importlib
import threading

_LOCK = threading.Lock()
_READERS = ("pydicom", "assistant.imaging.dicom", "assistant.imaging.series")


def import_readers() -> None:
    """Import what reads DICOM files and series, once; other threads wait meanwhile."""
    with _LOCK:
        for name in _READERS:
            importlib.import_module(name)
