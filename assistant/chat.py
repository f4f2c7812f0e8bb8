"""`MedicalAssistant`: the main path of every question and every report.

guard ─► retrieve ─► prompt ─► generate ─► review ─► Answer or Report
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from assistant.admit import guard_question
from assistant.asking import PromptMaker, own_prompt
from assistant.augment import Augmenter, alterations_of
from assistant.case import Case
from assistant.config import GenerationConfig
from assistant.conversation import Answer, Question, Report, ReportRequest
from assistant.deidentify.shown import WHOLE, as_read
from assistant.engine.features import open_encoder
from assistant.engine.generate import Generated, Generator
from assistant.engine.row import Writer
from assistant.errors import ConfigError
from assistant.evidence import Retriever
from assistant.finish import Finisher
from assistant.fitting import set_template
from assistant.guard import Stop, check_familiar, check_header, check_text, modality_of
from assistant.knowledge import FINDING_QUESTION, asks_knowledge
from assistant.known import KnownPictures
from assistant.lookup import Lookup
from assistant.model.presets import preset_names
from assistant.questions import options_of, written_forms
from assistant.resting import with_heat
from assistant.review import without_citations
from assistant.slices import choose_slices
from assistant.template_files import Templates, shipped
from assistant.together import Together, in_order, write_cases

if TYPE_CHECKING:
    from assistant.engine.features import PictureFeatures
    from assistant.engine.occlusion import Heat, Occlusion
    from assistant.imaging.picture import Picture
    from assistant.model.loaded import LoadedModel


class MedicalAssistant:
    """Answers questions about medical images and drafts reports.

    Args:
        model: opened with `assistant.model.load.load_model`.
        retriever: where evidence is searched; None goes without.
        settings: how answers are made; the usual ones if None.
        writer: what writes the text; the model's own language model if None.
        templates: of reports; those that ship with the package if None.
    """

    def __init__(
        self,
        model: LoadedModel,
        retriever: Retriever | None = None,
        settings: GenerationConfig | None = None,
        writer: Writer | None = None,
        templates: Templates | None = None,
    ) -> None:
        self.model = model
        self.templates = templates or shipped()
        self.retriever = retriever
        settings = self.settings = settings or GenerationConfig()
        can = model.contract.capabilities
        self._quotes = can.get("text_only") == "quote"
        self._shows_evidence = can.get("evidence_in_prompt") == "yes"
        self._side = WHOLE if writer else model.contract.picture_size
        self._slices = self.settings.slices or int(can.get("slices", "1"))
        self._encoder = open_encoder(model, self.settings)
        self._local = Generator(model, self.settings)
        self._generator = writer or self._local
        self._prompts = PromptMaker(self._local.encoder, self.settings, can)
        self._augmenter = Augmenter(self._encoder.encode, self._prompts, alterations_of(can, self.settings))
        self._lookup = Lookup(retriever, self.settings)
        self._known = KnownPictures.open(model.folder)
        self._finisher = Finisher(model, self.settings, self._lookup)

    @property
    def engine(self) -> str:
        """How the language model runs here, in a line; the first look may measure what is quickest."""
        return self._local.paths.describe()

    @property
    def scorer(self) -> Generator:
        """The model's own writer, which can tell how likely a text is that another wrote."""
        return self._local

    def answer(self, question: Question) -> Answer:
        """Answer one question.

        Args:
            question: with its pictures, options and what was said before.
        Returns:
            The answer, or an abstention that says why and what would help.
        Raises:
            ConfigError: the question is empty, or too long for the model.
        """
        (answer,) = self.answers([question])
        return answer

    def answers(self, questions: Iterable[Question], batch_size: int | None = None) -> Iterator[Answer]:
        """Answer many questions; several go through the model together.

        Args:
            questions: any number; read as there is room.
            batch_size: the settings' own, unless given.
        Yields:
            The answer to each question, in order.
        Raises:
            ConfigError: a question is empty, or too long for the model.
        """
        made = in_order(self.together(batch_size), questions, "answered %d question(s) in %.2f s")
        yield from cast("Iterator[Answer]", made)

    def stream(self, question: Question) -> Iterator[str | Answer]:
        """Answer one question while the reader watches.

        Args:
            question: with its pictures, options and what was said before.

        Yields:
            The text in pieces while it is written, then the whole `Answer`. The review comes after the writing: what
            the `Answer` says takes the place of the pieces.
        Raises:
            ConfigError: the question is empty, or too long for the model.
        """
        started = time.perf_counter()
        (case,) = self._question_cases([question])
        streamed = False
        if case.prompt is not None and not case.options:
            for piece in self._generator.stream(case.prompt):
                if isinstance(piece, Generated):
                    case.generated = piece
                else:
                    streamed = True
                    yield piece
        else:
            write_cases(self._generator, [case, *case.asides], self.settings)
        answer = replace(self._finisher.answer(case), seconds=time.perf_counter() - started)
        if not streamed:
            yield answer.text
        yield answer

    def heat(self, question: Question, answer: str) -> Heat | None:
        """Work out what in the last picture an answer rests on; it takes as long as 250 short answers.

        Args:
            question: that was answered.
            answer: what was said; citations do not count.
        Returns:
            The heat over the last picture; None where the model was not asked, or there is no picture.
        """
        work = self.heat_work(question, answer)
        return work.finish() if work is not None else None

    def heat_work(self, question: Question, answer: str) -> Occlusion | None:
        """Return the same work in parts, none of them done yet; None as `heat` does."""
        from assistant.engine.occlusion import Occlusion

        (case,) = self._question_cases([question])
        if case.prompt is None or not case.pictures or not (said := without_citations(answer)):
            return None
        return Occlusion(self.model, self._local, case.prompt, case.pictures, said)

    def report(self, request: ReportRequest) -> Report:
        """Draft one report.

        Args:
            request: the pictures of one study, and priors where there are any.
        Returns:
            The report, or an abstention that says why.
        Raises:
            ConfigError: the request has no picture, or too many for the model.
        """
        (report,) = self.reports([request])
        return report

    def reports(self, requests: Iterable[ReportRequest], batch_size: int | None = None) -> Iterator[Report]:
        """Draft many reports; several go through the model together.

        Args:
            requests: any number; read as there is room.
            batch_size: the settings' own, unless given.
        Yields:
            The report on each request, in order.
        Raises:
            ConfigError: a request has no picture, or too many for the model.
        """
        yield from cast(
            "Iterator[Report]", in_order(self.together(batch_size), requests, "drafted %d report(s) in %.2f s")
        )

    def together(self, batch_size: int | None = None) -> Together:
        """Return what works on so many questions and studies at once, and lets others join."""
        batch_size = batch_size or self.settings.batch_size
        return Together(self._cases, self._finished, self._generator, self.settings, batch_size)

    def encode(self, pictures: Sequence[Picture]) -> list[PictureFeatures]:
        """Return the features of each picture, in order; those seen lately are remembered."""
        return self._encoder.encode(pictures)

    def _cases(self, asked: Sequence[Question | ReportRequest]) -> list[Case]:
        """Guard, retrieve and prompt, in their order."""
        questions = iter(self._question_cases([one for one in asked if isinstance(one, Question)]))
        reports = iter(self._report_cases([one for one in asked if isinstance(one, ReportRequest)]))
        return [next(questions if isinstance(one, Question) else reports) for one in asked]

    def _finished(self, case: Case) -> Answer | Report:
        """Review what was written."""
        if case.question is not None:
            return self._finisher.answer(self._second_round(case))
        report = self._finisher.report(case)
        return with_heat(report, case, self.model, self._local) if self.settings.heat else report

    def _question_cases(self, questions: Sequence[Question]) -> list[Case]:
        """Guard, retrieve and prompt."""
        for question in questions:
            check_text(question.text)
        questions = [replace(one, pictures=as_read(one.pictures, self._side)) for one in questions]
        cases = [Case(question.pictures, question=question) for question in questions]
        self._see(cases)
        for case, question in zip(cases, questions, strict=True):
            guard_question(case, question)
            if case.stop is None:
                self._ground(case)
            if case.stop is None and not (self._quotes and not case.pictures):
                case.knowledge = self._quotes and self._lookup.serves(question) and asks_knowledge(question)
                if case.knowledge:
                    question = Question(FINDING_QUESTION, question.pictures)
                case.options = options_of(question)
                case.forms = [(option, form) for option in case.options for form in written_forms(option)]
                case.prompt = own_prompt(self._prompts.for_question(case, question), case, question.sampling)
        self._augmenter.add(cases)
        return cases

    def _report_cases(self, requests: Sequence[ReportRequest]) -> list[Case]:
        """Guard, retrieve and prompt."""
        for request in requests:
            if not request.pictures:
                raise ConfigError("The request for a report has no picture. Give at least one.")
        side = self._side
        requests = [
            replace(one, pictures=as_read(one.pictures, side), priors=as_read(one.priors, side)) for one in requests
        ]
        cases = [Case((*request.priors, *request.pictures), request=request) for request in requests]
        self._see(cases)
        for case, request in zip(cases, requests, strict=True):
            set_template(case, request.template, self.templates, self._lookup.domain(case))
            if case.stop is None:
                self._ground(case)
                self._prompts.fill_report(case, request)
        return cases

    def _see(self, cases: Sequence[Case]) -> None:
        """Encode all pictures together, and stop the cases whose pictures are unlike anything known."""
        features = iter(self._encoder.encode([picture for case in cases for picture in case.pictures]))
        for case in cases:
            case.features = [next(features) for _ in case.pictures]
            choose_slices(case, self._slices, self.settings.slice_choice, self.model.text.embed)
            case.warn(*(caution for picture in case.pictures for caution in picture.cautions))
            if self._known is not None:
                case.sights = [self._known.look(one) for one in case.features]
                case.doubt(*map(check_header, case.pictures, case.sights))
                if self.settings.check_images:
                    case.stop = check_familiar(
                        case.sights, self._known.names, self.model.contract.calibration, preset_names()
                    )
            case.doubt(*self._lookup.conflicts(case))
            case.modality = modality_of(case.pictures, case.sights)

    def _ground(self, case: Case) -> None:
        """Retrieve what the prompt or a quotation needs; other evidence is looked up once there is an answer."""
        if case.question is not None and not case.pictures:
            found = self._lookup.on_subject(case.question)
            if isinstance(found, Stop):
                case.stop = found
            else:
                case.evidence = found
        elif self._shows_evidence:
            case.evidence = self._lookup.about(case)

    def _second_round(self, case: Case) -> Case:
        """Where the first answer is unsure, search with its words too and answer again; the surer answer stands."""
        if not (self.settings.second_search and self._shows_evidence and case.prompt is not None and case.question):
            return case
        text, confidence, sure = self._finisher.sureness(case)
        found = () if sure else self._lookup.about(case, text)
        if not found or {item.id for item in found} == {item.id for item in case.evidence}:
            return case
        again = replace(case, evidence=found, cautions=list(case.cautions))
        again.prompt = self._prompts.for_question(again, case.question)
        self._augmenter.add([again])
        write_cases(self._generator, [again, *again.altered], self.settings)
        again.warn("The first answer was unsure; this one is from a second search.")
        return again if self._finisher.sureness(again)[1] > confidence else case
