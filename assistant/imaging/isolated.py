"""Decoding in a process of its own, for the one library that may end the process that calls it."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

CPU_S = 60
"""A frame that takes more of a processor's time is taken for damaged, however busy the machine is."""
TIMEOUT_S = 900.0
"""So is one that takes longer by the clock, at which the worker must have stopped; its start does not count."""

_PROGRAM = Path(__file__).with_name("gdcm_worker.py")


class IsolatedDecoder:
    """Keeps one worker process, started when first needed and again after it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None

    def decode(self, frame: bytes, options: dict[str, Any]) -> np.ndarray | None:
        """Decode one compressed frame with GDCM.

        Args:
            frame: the codestream.
            options: pydicom's decoding options, plain JSON values.
        Returns:
            (rows, columns) or (rows, columns, 3); None if GDCM cannot decode it, dies of it, or takes too long.
        """
        request = json.dumps({**options, "bytes": len(frame)}).encode() + b"\n"
        with self._lock:
            worker = self._running()
            timer = threading.Timer(TIMEOUT_S, worker.kill)
            timer.start()
            try:
                return self._ask(worker, request, frame)
            except (OSError, ValueError):  # it died: a broken pipe, half a line or half an array
                self._end()
                return None
            finally:
                timer.cancel()

    def close(self) -> None:
        """End the worker; the next call starts another."""
        with self._lock:
            self._end()

    def forget(self) -> None:
        """Leave the worker to the process that this one was forked from."""
        if self._worker is not None:
            self._worker.returncode = 0  # it is not ours to wait for
        self.__init__()  # type: ignore[misc]

    @staticmethod
    def _ask(worker: subprocess.Popen[bytes], request: bytes, frame: bytes) -> np.ndarray | None:
        assert worker.stdin is not None  # it was asked for, as was the other
        assert worker.stdout is not None
        worker.stdin.write(request)
        worker.stdin.write(frame)
        worker.stdin.flush()
        answer = json.loads(worker.stdout.readline())
        if "failed" in answer:
            return None
        dtype = np.dtype(answer["dtype"])
        size = dtype.itemsize * int(np.prod(answer["shape"]))
        return np.frombuffer(worker.stdout.read(size), dtype).reshape(answer["shape"])

    def _running(self) -> subprocess.Popen[bytes]:
        if self._worker is None or self._worker.poll() is not None:
            self._end()
            self._worker = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(CPU_S)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert self._worker.stdout is not None  # it was asked for
            self._worker.stdout.readline()  # ready
        return self._worker

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.kill()
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            with contextlib.suppress(OSError):  # what was never read cannot be flushed
                assert pipe is not None
                pipe.close()


GDCM = IsolatedDecoder()
"""The assistant's one GDCM worker."""

atexit.register(GDCM.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=GDCM.forget)
