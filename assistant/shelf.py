"""`Shelf`: the models that one process can answer with; so many in memory, the least lately used goes first.

Each is loaded in a thread of its own, one at a time, while the others go on answering. Whoever holds a model that is
let go finishes with it; its memory is free once nobody does.
"""

from __future__ import annotations

import gc
import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from assistant.commands.opened import Opened
from assistant.errors import AssistantError, ModelError

logger = logging.getLogger(__name__)

State = Literal["unloaded", "loading", "ready", "failed"]
MAIN = ""
"""Key of the model that `--model` names."""
RETRY_S = 60.0
"""After so long a model that could not be loaded is tried again when it is asked for."""


@dataclass(eq=False)
class _Load:
    """One try to load a model."""

    began: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    opened: Opened | None = None
    failure: str | None = None
    seconds: float | None = None
    used: int = 0


class Shelf:
    """Loads models when they are first wanted, and remembers so many.

    Args:
        loads: by the models' names, how to load each; `MAIN` is one of them.
        most: how many may be in memory at once.
    """

    def __init__(self, loads: Mapping[str, Callable[[], Opened]], most: int = 1) -> None:
        self._loads, self._most = dict(loads), most
        self._tries: dict[str, _Load] = {}
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._clock = itertools.count(1)

    @property
    def names(self) -> list[str]:
        """All models, loaded or not."""
        return list(self._loads)

    def start(self, name: str = MAIN, *, again: bool = False) -> None:
        """Begin to load a model, unless it is loaded or being loaded.

        Args:
            name: one of `names`.
            again: try at once what failed.
        """
        self._begin(name, again=again)

    def _begin(self, name: str, *, again: bool = False) -> _Load:
        with self._lock:
            known = self._tries.get(name)
            failed = known is not None and known.failure is not None
            late = known is not None and time.monotonic() - known.began > RETRY_S + (known.seconds or 0)
            if known is not None and not (failed and (again or late)):
                known.used = next(self._clock)
                return known
            made = self._tries[name] = _Load(used=next(self._clock))
            threading.Thread(target=self._run, args=(name, made), name="load-model", daemon=True).start()
            return made

    def _run(self, name: str, made: _Load) -> None:
        with self._one_at_a_time:
            self._make_room()
            started = time.perf_counter()
            try:
                made.opened = self._loads[name]()
            except AssistantError as error:
                made.failure = str(error)
            except Exception as error:
                logger.exception("the model could not be loaded")
                made.failure = f"The model could not be loaded ({type(error).__name__}); the terminal says why."
            made.seconds = time.perf_counter() - started
            made.done.set()

    def _make_room(self) -> None:
        """Let go of the least lately used until one more may be loaded."""
        with self._lock:
            held = sorted((one.used, name) for name, one in self._tries.items() if one.opened is not None)
            gone = [name for _, name in held[: max(0, len(held) + 1 - self._most)]]
            for name in gone:
                del self._tries[name]
        if gone:
            _give_back()

    def get(self, name: str = MAIN, timeout_s: float = 600.0) -> Opened:
        """Return a model, and wait for it while it loads.

        Args:
            name: one of `names`.
            timeout_s: the longest wait.
        Returns:
            The loaded model; it stays usable for as long as it is held.
        Raises:
            ModelError: loading failed, or takes longer than the wait.
        """
        made = self._begin(name)
        if not made.done.wait(timeout_s):
            raise ModelError(f"The model has not loaded within {timeout_s:.0f} s. Try again, or see the terminal.")
        if made.opened is None:
            raise ModelError(made.failure or "The model could not be loaded.")
        return made.opened

    def state(self, name: str = MAIN) -> State:
        """Return where a model stands."""
        made = self._tries.get(name)
        if made is None:
            return "unloaded"
        if not made.done.is_set():
            return "loading"
        return "failed" if made.opened is None else "ready"

    def look(self, name: str = MAIN) -> Opened | None:
        """Return a model if it is loaded; it counts as no use of it."""
        made = self._tries.get(name)
        return None if made is None else made.opened

    def failure(self, name: str = MAIN) -> str | None:
        """Return why a model could not be loaded, None otherwise."""
        made = self._tries.get(name)
        return None if made is None else made.failure

    def seconds(self, name: str = MAIN) -> float | None:
        """Return how long loading took, or takes so far; None where it has not begun."""
        made = self._tries.get(name)
        if made is None:
            return None
        return made.seconds if made.done.is_set() else time.monotonic() - made.began


def _give_back() -> None:
    """Free what nobody holds any more: modules hold each other in circles."""
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
