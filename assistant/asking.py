"""`PromptMaker`: a case becomes the prompt that is put to the model, cut to what its context holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from assistant import prompts
from assistant.case import Case
from assistant.change import reads_apart, split_priors
from assistant.config import GenerationConfig
from assistant.conversation import Question, ReportRequest, Turn
from assistant.engine.prompt import Prompt, PromptEncoder
from assistant.evidence import Evidence
from assistant.fitting import CHECK_TOKENS, checks_of, parts_of
from assistant.plain import plain, wants_description
from assistant.questions import completed, newest, wants_report
from assistant.sampling import Sampling

EVIDENCE_TOKENS = 256
"""Most tokens of evidence in a prompt, where neither settings nor the model's contract say."""


class PromptMaker:
    """Makes prompts for one model.

    Args:
        encoder: of the model.
        settings: how much history and evidence to put in.
        capabilities: the contract's; `history` "no" leaves earlier turns out and puts a question
            in plain words, `system` is the system prompt, `evidence_tokens` how much evidence the model was found to
            profit from, `indication` whether it reads indication and history, `comparison` "written" whether it can
            tell change itself.
    """

    def __init__(self, encoder: PromptEncoder, settings: GenerationConfig, capabilities: Mapping[str, str]) -> None:
        self._encoder = encoder
        self._settings = settings
        self._can = capabilities

    def for_question(self, case: Case, question: Question) -> Prompt:
        """Return the prompt for a question, with its pictures, evidence and as much history as fits."""
        history = newest(question.history, self._settings.history_turns)
        if self._can.get("history") == "no":
            question, history = completed(replace(question, text=plain(question.text))), ()
        asked = self._as_known(question.text) if case.pictures else question.text
        text = prompts.question_text(
            self._encoder.clean(asked),
            options=[self._encoder.clean(option) for option in question.options],
            evidence=self._evidence_lines(case.evidence),
            header=header_of(case),
        )
        return self._fitting(case, text, history)

    def _as_known(self, asked: str) -> str:
        """Return a request in the one wording that models know; a description's only where wordings matter so much."""
        if wants_report(plain(asked)):
            return prompts.REPORT_REQUEST
        taught = asked in prompts.DESCRIPTION_REQUESTS
        if self._can.get("history") == "no" and not taught and wants_description(asked):
            return prompts.DESCRIPTION_REQUESTS[0]
        return asked

    def fill_report(self, case: Case, request: ReportRequest) -> None:
        """Give a report's case its prompt, and its priors and the questions of its template each their own."""
        if reads_apart(case, self._can):
            case.earlier = split_priors(case)
            request, before = replace(request, priors=()), case.earlier.request
            assert before is not None
            silent = replace(request.sampling, on_text=None)
            case.earlier.prompt = own_prompt(self.for_report(case.earlier, before), case.earlier, silent)
        case.parts = parts_of(case)
        case.checks = checks_of(case) if self._settings.check_reports else []
        # Of a check the probabilities of its options count, not the text.
        brief = replace(request.sampling, max_new_tokens=CHECK_TOKENS, stop=())
        for asides, sampling in ((case.parts, request.sampling), (case.checks, brief)):
            for aside in asides:
                if aside.question is not None:
                    aside.prompt = own_prompt(self.for_question(aside, aside.question), aside, sampling)
        if not case.parts:
            case.prompt = own_prompt(self.for_report(case, request), case, request.sampling)

    def for_report(self, case: Case, request: ReportRequest) -> Prompt:
        """Return the prompt for a report."""
        told = self._told(request)
        wording = case.template.prompt if case.template else None
        text = prompts.report_text(
            indication=self._encoder.clean(told) if told else None,
            has_prior=bool(request.priors),
            evidence=self._evidence_lines(case.evidence),
            header=header_of(case),
            wording=self._encoder.clean(wording) if wording else None,
        )
        return self._fitting(case, text, ())

    def _told(self, request: ReportRequest) -> str | None:
        """Return what the model reads of indication, history and earlier reports: all in one line, or nothing.

        A model that is shown no evidence reads neither, unless its contract says so: it has seen no such text in
        training, and on phantoms its findings were no better with an indication, and worse with a long one.
        """
        reads = self._can.get("indication", "no" if self._can.get("evidence_in_prompt") == "no" else "yes")
        earlier = request.earlier if self._can.get("earlier_reports", reads) == "yes" else None
        told = " ".join(part for part in (request.indication, request.history, earlier) if part)
        return told if told and reads == "yes" else None

    def _evidence_lines(self, evidence: Sequence[Evidence]) -> list[str]:
        asked = self._settings.evidence_tokens
        budget = int(self._can.get("evidence_tokens", EVIDENCE_TOKENS)) if asked is None else asked
        lines = prompts.evidence_lines(evidence, budget=budget, count_tokens=self._encoder.count)
        return [self._encoder.clean(line) for line in lines]

    def _fitting(self, case: Case, text: str, history: Sequence[Turn]) -> Prompt:
        """Return the prompt with as many of the latest turns as leave room for an answer."""
        turns = tuple(Turn(turn.role, self._encoder.clean(turn.text)) for turn in history)
        while True:
            messages = prompts.conversation(
                text, images=len(case.pictures), history=turns, system=self._can.get("system") or None
            )
            prompt = self._encoder.encode(messages, case.features)
            if not turns:
                self._encoder.check_room(prompt)
            if not turns or len(prompt.ids) + self._settings.max_new_tokens <= self._encoder.context:
                return prompt
            turns = newest(turns, len(turns) - 1)


def own_prompt(prompt: Prompt, case: Case, sampling: Sampling) -> Prompt:
    """Return a prompt with its own sampling; among options nothing is worth reading before the choice."""
    silent = replace(sampling, on_text=None) if case.options else sampling
    return replace(prompt, pictures=case.pictures, sampling=silent)


def header_of(case: Case) -> str | None:
    """Return the line on what the headers tell, where all pictures of the case agree."""
    told = {(picture.modality, picture.anatomy, picture.view) for picture in case.pictures}
    if len(told) != 1:
        return None
    modality, anatomy, view = told.pop()
    return prompts.header_line(modality=modality, anatomy=anatomy, view=view)
