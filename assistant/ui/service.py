"""`AssistantService`: the assistant behind the page, which loads while the page is up already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from assistant.commands.opened import Opened
from assistant.conversation import Answer, Question, Report, ReportRequest
from assistant.shelf import MAIN, Shelf
from assistant.template_files import Templates, shipped
from assistant.ui.drafted import while_drafted

if TYPE_CHECKING:
    from assistant.choice import Others
    from assistant.engine.occlusion import Heat
    from assistant.feedback.desk import Desk

State = Literal["loading", "ready", "failed"]


class AssistantService:
    """Loads an assistant in a thread of its own, and hands it to whoever asks; others too, where there are any."""

    def __init__(
        self,
        load: Callable[[], Opened],
        templates: Templates | None = None,
        feedback: Desk | None = None,
        others: Others | None = None,
    ) -> None:
        """Keep how to load; `start` begins it.

        Args:
            load: gives the assistant; an `AssistantError` of it is shown on the page.
            templates: that reports may be asked by; those that ship if None.
            feedback: takes in what people say of answers; None takes none.
            others: models that a visitor or a client may choose instead; None if there is one model alone.
        """
        self.templates = templates or shipped()
        self.feedback = feedback
        self.others = others
        loads = {} if others is None else others.loads
        self.shelf = Shelf({MAIN: load, **loads}, 1 if others is None else others.most)

    def start(self) -> None:
        """Begin to load; a second call does nothing."""
        self.shelf.start()

    @property
    def load_seconds(self) -> float | None:
        """How long loading took, or takes so far; None before it began."""
        return self.shelf.seconds()

    @property
    def state(self) -> State:
        """Where loading stands; a server whose first model made room for another one is ready."""
        found = self.shelf.state()
        if found == "unloaded":
            return "ready" if any(self.shelf.state(name) == "ready" for name in self.shelf.names) else "loading"
        return found

    def health(self) -> dict[str, str]:
        """Return the state of each part, for `/healthz`."""
        return {"model": self.state}

    @property
    def failure(self) -> str | None:
        """Why loading failed, None otherwise."""
        return self.shelf.failure()

    def get(self, timeout_s: float = 600.0, model: str = MAIN) -> Opened:
        """Return the assistant, and wait for it while it loads.

        Args:
            timeout_s: the longest wait.
            model: which, by its name among `others`; the first one if not given.
        Returns:
            The loaded assistant.
        Raises:
            AssistantError: loading failed, or takes longer than the wait.
        """
        return self.shelf.get(model, timeout_s)

    def stream(self, question: Question, who: str = "page", model: str = MAIN) -> Iterator[str | Answer]:
        """Answer a question of the page; as `MedicalAssistant.stream`.

        Args:
            question: with its pictures and what was said before.
            who: asks; a server with several visitors takes them in turn.
            model: answers.
        Yields:
            The text in pieces, then the answer.
        """
        yield from self.get(model=model).assistant.stream(question)

    def draft(self, request: ReportRequest, who: str = "page", model: str = MAIN) -> Iterator[str | Report]:
        """Draft a report of the page while its reader watches.

        Args:
            request: one study.
            who: asks.
            model: drafts.
        Yields:
            The text in pieces as the model writes it, then the reviewed report, which takes their place.
        """
        yield from while_drafted(self.get(model=model).assistant.report, request)

    def heat(self, question: Question, answer: str, who: str = "page", model: str = MAIN) -> Heat | None:
        """Work out what in a question's last picture an answer rests on; as `MedicalAssistant.heat`.

        Args:
            question: that was answered.
            answer: what was said.
            who: asks.
            model: that said it.
        Returns:
            The heat; None where the model was not asked, or there is no picture.
        """
        return self.get(model=model).assistant.heat(question, answer)
