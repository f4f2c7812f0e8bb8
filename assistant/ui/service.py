"""`AssistantService`: the assistant behind the page, which loads while the page is up already."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from assistant.commands.opened import Opened
from assistant.conversation import Answer, Question, Report, ReportRequest
from assistant.errors import AssistantError
from assistant.template_files import Templates, shipped
from assistant.ui.drafted import while_drafted

if TYPE_CHECKING:
    from assistant.engine.occlusion import Heat
    from assistant.feedback.desk import Desk

logger = logging.getLogger(__name__)

State = Literal["loading", "ready", "failed"]


class AssistantService:
    """Loads an assistant once, in a thread of its own, and hands it to whoever asks."""

    def __init__(
        self, load: Callable[[], Opened], templates: Templates | None = None, feedback: Desk | None = None
    ) -> None:
        """Keep how to load; `start` begins it.

        Args:
            load: gives the assistant; an `AssistantError` of it is shown on the page.
            templates: that reports may be asked by; those that ship if None.
            feedback: takes in what people say of answers; None takes none.
        """
        self.templates = templates or shipped()
        self._load = load
        self.feedback = feedback
        self._opened: Opened | None = None
        self._failure: str | None = None
        self._finished = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.load_seconds: float | None = None
        """How long loading took; None before it ended."""

    def start(self) -> None:
        """Begin to load; a second call does nothing."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="load-model", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        started = time.perf_counter()
        try:
            self._opened = self._load()
        except AssistantError as error:
            self._failure = str(error)
        except Exception as error:
            logger.exception("the model could not be loaded")
            self._failure = f"The model could not be loaded ({type(error).__name__}); the terminal says why."
        self.load_seconds = time.perf_counter() - started
        self._finished.set()

    @property
    def state(self) -> State:
        """Where loading stands."""
        if not self._finished.is_set():
            return "loading"
        return "failed" if self._opened is None else "ready"

    @property
    def failure(self) -> str | None:
        """Why loading failed, None otherwise."""
        return self._failure

    def get(self, timeout_s: float = 600.0) -> Opened:
        """Return the assistant, and wait for it while it loads.

        Args:
            timeout_s: the longest wait.
        Returns:
            The loaded assistant.
        Raises:
            AssistantError: loading failed, or takes longer than the wait.
        """
        self.start()
        if not self._finished.wait(timeout_s):
            raise AssistantError(f"The model has not loaded within {timeout_s:.0f} s. Try again, or see the terminal.")
        if self._opened is None:
            raise AssistantError(self._failure or "The model could not be loaded.")
        return self._opened

    def stream(self, question: Question, who: str = "page") -> Iterator[str | Answer]:
        """Answer a question of the page; as `MedicalAssistant.stream`.

        Args:
            question: with its pictures and what was said before.
            who: asks; a server with several visitors takes them in turn.
        Yields:
            The text in pieces, then the answer.
        """
        yield from self.get().assistant.stream(question)

    def draft(self, request: ReportRequest, who: str = "page") -> Iterator[str | Report]:
        """Draft a report of the page while its reader watches.

        Args:
            request: one study.
            who: asks.
        Yields:
            The text in pieces as the model writes it, then the reviewed report, which takes their place.
        """
        yield from while_drafted(self.get().assistant.report, request)

    def heat(self, question: Question, answer: str, who: str = "page") -> Heat | None:
        """Work out what in a question's last picture an answer rests on; as `MedicalAssistant.heat`.

        Args:
            question: that was answered.
            answer: what was said.
            who: asks.
        Returns:
            The heat; None where the model was not asked, or there is no picture.
        """
        return self.get().assistant.heat(question, answer)
