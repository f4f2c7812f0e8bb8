"""What was measured on this machine, kept in the state folder: a file that may be deleted at any time."""

from __future__ import annotations

import json
import logging
import os
import platform
from pathlib import Path
from typing import Any

from assistant.imaging.identity import state_folder

logger = logging.getLogger(__name__)


def machine() -> str:
    """Return what a measurement holds for: this processor, this torch, this many threads."""
    import torch

    return f"{processor()}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def processor() -> str:
    """Return the processor's name and what its torch code is compiled for."""
    import torch

    name = platform.processor() or platform.machine()
    path = Path("/proc/cpuinfo")
    if path.exists():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


class Remembered:
    """One file of measurements, by machine.

    Args:
        name: of the file in the state folder.
    """

    def __init__(self, name: str) -> None:
        self._file = state_folder() / name

    def get(self, what: str) -> dict[str, Any] | None:
        """Return what was found on this machine, or None."""
        found = self._read().get(machine(), {}).get(what)
        return found if isinstance(found, dict) else None

    def put(self, what: str, found: dict[str, Any]) -> None:
        """Keep what was found; where nothing can be written it is measured again next time."""
        stored = self._read()
        stored.setdefault(machine(), {})[what] = found
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            new.write_text(json.dumps(stored, indent=1, sort_keys=True), encoding="utf-8")
            new.replace(self._file)
        except OSError as error:
            logger.info("what was measured could not be kept: %s", error)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {name: one for name, one in stored.items() if isinstance(one, dict)} if isinstance(stored, dict) else {}
