"""`Asker`: what the model answers to questions and requests for reports, and whether the assistant would abstain.

Made of the assistant's own parts in the assistant's own order. Unlike `MedicalAssistant` it asks the model even where
the assistant would stop, and says why it would have stopped. Without a retriever the model alone is measured.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from assistant.asking import PromptMaker
from assistant.augment import Augmenter, alterations_of
from assistant.case import Case
from assistant.confidence import Kind, calibrate, threshold
from assistant.config import GenerationConfig
from assistant.conversation import Question, ReportRequest
from assistant.decide import decide, option_shares
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generator
from assistant.evidence import Retriever
from assistant.finish import Finisher
from assistant.guard import Stop, check_familiar, check_premise, check_text, modality_of
from assistant.known import KnownPictures
from assistant.lookup import Lookup
from assistant.prompts import render_report
from assistant.questions import options_of, written_forms
from assistant.review import CANNOT_TELL, cannot_tell
from assistant.scope import check_scope

if TYPE_CHECKING:
    from assistant.imaging.picture import Picture
    from assistant.model.loaded import LoadedModel


@dataclass(frozen=True)
class Put:
    """A question put in more words than its own: with examples, a rationale or an instruction around it."""

    request: Question
    asked: Question
    """The question itself: what there is to choose from, its scope and its premise are read from it."""
    free: bool = False
    """Write freely, even where there are answers to choose from."""


Request = Question | ReportRequest | Put


class Asks(Protocol):
    """Whatever answers requests: the model itself, or a strategy around it."""

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Return a reply to each request, in order."""
        ...


_TEMPLATE_TOKENS = 24
"""Kept free for what a chat template puts around a question."""


@dataclass(frozen=True)
class Reply:
    """One answer or report of the model, whether or not the assistant would give it."""

    text: str
    """Empty if the model wrote nothing that can be used."""
    confidence: float
    """Calibrated as the model's contract says."""
    kind: Kind
    """Which numbers calibrate it: closed where the question's words leave answers to choose from."""
    stop: str | None
    """Why the assistant would abstain: scope, unfamiliar, premise, no picture, empty, untold (its own words),
    unsure; None if it would not."""
    seconds: float
    """Its share of the time that its batch took."""
    written: str = ""
    """A report as the model wrote it, before review took sentences out; empty for an answer."""
    shares: tuple[tuple[str, float], ...] = ()
    """The answers to choose from, each with its share of the probability of all of them."""


class Asker:
    """Asks one model.

    Args:
        model: as loaded; its contract's calibration is used.
        settings: batch size and lengths; the thresholds only decide on `Reply.stop`.
        retriever: puts evidence into the prompts of questions with pictures, whatever the contract says.
    """

    def __init__(self, model: LoadedModel, settings: GenerationConfig, retriever: Retriever | None = None) -> None:
        self.model, self.settings = model, settings
        self._encoder = PictureEncoder(model, max_items=settings.picture_cache, batch_size=settings.batch_size)
        self._generator = Generator(model, settings)
        self._prompts = PromptMaker(self._generator.encoder, settings, model.contract.capabilities)
        alterations = alterations_of(model.contract.capabilities, settings)
        self._augmenter = Augmenter(self._encoder.encode, self._prompts, alterations)
        self._known = KnownPictures.open(model.folder)
        # Never unsure here: what the assistant would make of the confidence is decided in `_stop`.
        self._lookup = Lookup(retriever, settings)
        self._shows = retriever is not None
        self._finisher = Finisher(model, replace(settings, abstain_below=0.0), Lookup(None, settings))

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Put questions and requests for reports to the model.

        Args:
            requests: any mixture; those about the same picture should stand in one call, so that it is encoded once.

        Returns:
            A reply to each, in order.

        Raises:
            ConfigError: a question is empty, or too long for the model.
        """
        cases = [self._case(request) for request in requests]
        puts = [request.request if isinstance(request, Put) else request for request in requests]
        replies: dict[int, Reply] = {}
        for report, limit in ((False, None), (True, self.settings.report_max_new_tokens)):
            rows = [row for row, request in enumerate(requests) if isinstance(request, ReportRequest) == report]
            replies.update(
                zip(rows, self._ask([cases[row] for row in rows], [puts[row] for row in rows], limit), strict=True)
            )
        return [replies[row] for row in range(len(requests))]

    def _case(self, request: Request) -> Case:
        if isinstance(request, ReportRequest):
            return Case((*request.priors, *request.pictures), request=request)
        asked = request.asked if isinstance(request, Put) else request
        check_text(asked.text)
        case = Case(asked.pictures, question=asked)
        case.options = () if isinstance(request, Put) and request.free else options_of(asked)
        case.forms = [(option, form) for option in case.options for form in written_forms(option)]
        return case

    def _ask(self, cases: Sequence[Case], puts: Sequence[Question | ReportRequest], limit: int | None) -> list[Reply]:
        if not cases:
            return []
        started = time.perf_counter()
        features = iter(self._encoder.encode([picture for case in cases for picture in case.pictures]))
        for case, put in zip(cases, puts, strict=True):
            case.features = [next(features) for _ in case.pictures]
            case.sights = [self._known.look(one) for one in case.features] if self._known else []
            case.modality = modality_of(case.pictures, case.sights)
            if case.pictures and self._shows:
                case.evidence = self._lookup.about(case)
            if isinstance(put, ReportRequest):
                case.prompt = self._prompts.for_report(case, put)
            else:
                case.prompt = self._prompts.for_question(case, put)
        self._augmenter.add(cases)
        written = [one for case in cases for one in (case, *case.altered)]
        prompts = [case.prompt for case in written if case.prompt is not None]
        forms = [[form for _, form in case.forms] for case in written]
        for case, made in zip(written, self._generator.answer(prompts, forms, max_new_tokens=limit), strict=True):
            case.generated, case.scores = made
        seconds = (time.perf_counter() - started) / len(cases)
        return [self._reply(case, seconds) for case in cases]

    def room(self, request: Question) -> int:
        """Return how many tokens the prompt of a question could still take, an answer of full length kept free."""
        pictures = self._encoder.encode(list(request.pictures))
        taken = sum(len(one.patches) for one in pictures) + self.count(request.text)
        return self._generator.encoder.context - taken - self.settings.max_new_tokens - _TEMPLATE_TOKENS

    def weigh(self, question: Question, options: Sequence[str]) -> tuple[list[float], str]:
        """Weigh answers to a question, none of which its words need name.

        Args:
            question: as it is put.
            options: the answers.

        Returns:
            The log-probability of each, its end included, and what the model writes by itself.
        """
        case = Case(question.pictures, question=question)
        case.features = list(self._encoder.encode(list(question.pictures)))
        prompt = self._prompts.for_question(case, question)
        ((made, scores),) = self._generator.answer([prompt], [list(options)])
        return scores, made.text

    def count(self, text: str) -> int:
        """Return how many tokens a text takes."""
        return self._generator.encoder.count(text)

    def joint(self, pictures: Sequence[Picture]) -> np.ndarray:
        """Return the mean joint vector of some pictures, (E,), of length 1."""
        mean = np.mean([one.joint for one in self._encoder.encode(list(pictures))], axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))

    def variant(self, **changes: Any) -> Asker:
        """Return an asker of the same model with other settings; it shares the pictures that are encoded."""
        other = copy.copy(self)
        other.settings = replace(self.settings, **changes)
        other._generator = Generator(self.model, other.settings)
        return other

    def judged(self, reply: Reply, text: str, raw: float, kind: Kind, *, calibrated: bool = False) -> Reply:
        """Return a reply with another text, as it would be had the model given that text itself.

        Args:
            reply: whose reasons to abstain stand, but for its confidence.
            text: the answer.
            raw: how sure, in [0, 1], before calibration.
            kind: closed where there are answers to choose from.
            calibrated: `raw` is to be taken as it is.

        Returns:
            The reply.
        """
        numbers = self.model.contract.calibration
        sure = raw if calibrated else calibrate(raw, kind, numbers)
        stop = None if reply.stop in ("unsure", "empty", "untold") else reply.stop
        if stop is None and not text.strip():
            stop = "empty"
        if stop is None and sure < threshold(kind, numbers, self.settings.abstain_below):
            stop = "unsure"
        return replace(reply, text=text, confidence=sure, kind=kind, stop=stop)

    def _reply(self, case: Case, seconds: float) -> Reply:
        if case.request is not None:
            report = self._finisher.report(case)
            text, confidence, empty = render_report(report.sections), report.confidence, report.abstained
            kind: Kind = "report"
            written = case.generated.text if case.generated else ""
        else:
            answer = self._finisher.answer(case)
            text, confidence, empty = answer.text, answer.confidence, answer.abstained
            kind = "closed" if case.options else "open"
            written = ""
        nothing = "empty" if empty else None
        if case.request is None and cannot_tell(decide(case)[0]):
            text, empty, nothing = CANNOT_TELL, False, "untold"  # scored as any answer: right where nothing can be told
        stop = self._stop(case, kind, confidence, nothing)
        weighed = tuple(zip(case.options, option_shares(case), strict=True)) if case.scores else ()
        return Reply("" if empty else text, confidence, kind, stop, seconds, written, weighed)

    def _stop(self, case: Case, kind: Kind, confidence: float, nothing: str | None) -> str | None:
        """Return why the assistant would abstain, in the order in which it checks."""
        calibration = self.model.contract.calibration
        text = case.question.text if case.question else ""
        if text and check_scope(text):
            return "scope"
        names = self._known.names if self._known and self.settings.check_images else None
        if names is not None and check_familiar(case.sights, names, calibration, ()):
            return "unfamiliar"
        if text and case.pictures and isinstance(check_premise(text, case.modality), Stop):
            return "premise"
        if not case.pictures and self.model.contract.capabilities.get("text_only") == "quote":
            return "no picture"
        if nothing is not None:
            return nothing
        return "unsure" if confidence < threshold(kind, calibration, self.settings.abstain_below) else None


def ask_all(
    asker: Asks, requests: Sequence[Callable[[], Request]], *, chunk: int = 256, told: Callable[[int], None]
) -> Iterator[Reply]:
    """Ask any number of requests, a chunk at a time.

    Args:
        asker: of the model.
        requests: each makes its request when its turn comes, so that only a chunk's pictures are in memory.
        chunk: how many go together; prompts of like length are batched within it.
        told: called after each chunk with the number of requests done.

    Yields:
        A reply to each, in order.
    """
    for start in range(0, len(requests), chunk):
        part = [make() for make in requests[start : start + chunk]]
        yield from asker.ask(part)
        told(start + len(part))
